//! Stands for the kernel's `ipc`. There are no messages in these models.

pub mod reply {
    use crate::{
        access::Kernel,
        object::{ReplyRef, TcbRef},
    };

    pub fn loser(_k: &Kernel<'_>, _reply: ReplyRef) -> Option<TcbRef> {
        None
    }
}
