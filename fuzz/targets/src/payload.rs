//! The container behind the loader, and the header in front of it.

use tern_platform::image;
use tern_platform::payload::{ALIGN, HEADER_LEN, Header};

pub fn run(data: &[u8]) {
    header(data);
    image_size(data);
    layout(data);
}

fn header(data: &[u8]) {
    let header = match Header::parse(data) {
        Ok(header) => header,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(header.encode()[..], data[..HEADER_LEN]);
    assert!(header.max_cores > 0);
    let kernel = header.kernel_offset..header.kernel_offset + header.kernel_len;
    let root = header.root_offset..header.root_offset + header.root_len;
    for part in [&kernel, &root] {
        assert!(!part.is_empty() && part.start >= ALIGN && part.end <= header.total_len);
        assert!(part.start.is_multiple_of(ALIGN));
    }
    assert!(kernel.end <= root.start || root.end <= kernel.start);
    for (part, bytes) in [(&kernel, header.kernel(data)), (&root, header.root(data))] {
        assert_eq!(bytes.is_ok(), part.end <= data.len() as u64);
        if let Ok(bytes) = bytes {
            assert_eq!(*bytes, data[part.start as usize..part.end as usize]);
        }
    }
}

/// Setting the size changes the size, and nothing else.
fn image_size(data: &[u8]) {
    let Ok(size) = image::size(data) else {
        assert!(image::set_size(&mut data.to_vec(), 1).is_err());
        return;
    };
    let mut copy = data.to_vec();
    image::set_size(&mut copy, !size).expect("it has a header");
    assert_eq!(image::size(&copy), Ok(!size));
    image::set_size(&mut copy, size).expect("it has a header");
    assert_eq!(copy, data);
}

/// What is laid out is read.
fn layout(data: &[u8]) {
    let word = |at: usize| {
        let bytes = data.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (Some(cores), Some(kernel), Some(root)) = (word(0), word(8), word(16)) else {
        return;
    };
    let Some(header) = Header::layout(cores, kernel, root) else {
        return;
    };
    let sensible = cores > 0 && kernel > 0 && root > 0;
    assert_eq!(Header::parse(&header.encode()).is_ok(), sensible);
    if sensible {
        assert_eq!(Header::parse(&header.encode()), Ok(header));
        assert_eq!((header.kernel_len, header.root_len), (kernel, root));
    }
}
