//! A short queue of small numbers: who holds a lock and who waits for it, who waits in a queue.

const CAPACITY: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fifo {
    items: [u8; CAPACITY],
    len: u8,
}

impl Fifo {
    pub fn push(&mut self, item: usize) {
        self.items[self.len as usize] = item as u8;
        self.len += 1;
    }

    pub fn push_front(&mut self, item: usize) {
        self.items.copy_within(0..CAPACITY - 1, 1);
        self.items[0] = item as u8;
        self.len += 1;
    }

    pub fn front(&self) -> Option<usize> {
        self.iter().next()
    }

    pub fn pop(&mut self) -> Option<usize> {
        let front = self.front()?;
        self.remove(front);
        Some(front)
    }

    /// Equal queues are equal values, so places that are not used are 0.
    pub fn remove(&mut self, item: usize) {
        let place = self.iter().position(|other| other == item);
        let place = place.expect("the item is in the queue");
        self.items.copy_within(place + 1.., place);
        self.len -= 1;
        self.items[self.len as usize] = 0;
    }

    pub fn contains(&self, item: usize) -> bool {
        self.iter().any(|other| other == item)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.items[..self.len as usize]
            .iter()
            .map(|&item| usize::from(item))
    }
}
