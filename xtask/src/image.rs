//! One raw boot image out of three ELF files: the loader made flat, then the payload (kernel and root task).
//!
//! The loader finds the payload right behind itself, so its flat form has to end where the linker says it ends.
//! What the payload looks like is `tern_platform`'s business; what is in the ELF files is not checked here.

use crate::elf::Elf;
use crate::failure::{Failure, Result};
use tern_platform::image::set_size;
use tern_platform::payload::{ALIGN, Header};

/// The ELF files of an image, as they are to go in.
pub(crate) struct Parts<'a> {
    pub(crate) loader: &'a [u8],
    pub(crate) kernel: &'a [u8],
    pub(crate) root: &'a [u8],
    pub(crate) max_cores: u64,
}

/// Puts an image together. The kernel and the root task go in unchanged: whoever wants them small strips them first.
pub(crate) fn compose(parts: &Parts<'_>) -> Result<Vec<u8>> {
    let loader = Elf::parse(parts.loader)?;
    let mut image = loader.flatten()?;
    check_end(&loader, image.len() as u64)?;
    append_payload(&mut image, parts)?;
    let size = image.len() as u64;
    set_size(&mut image, size)
        .map_err(|_| Failure::new("the boot loader does not start with an arm64 image header"))?;
    Ok(image)
}

/// Checks that the payload will lie where the loader looks for it.
fn check_end(loader: &Elf<'_>, size: u64) -> Result<()> {
    let end = loader
        .symbols()
        .iter()
        .find(|symbol| symbol.name == "__image_end")
        .map(|symbol| symbol.address.wrapping_sub(loader.base()));
    match end {
        Some(end) if end != size => Err(Failure::new(format!(
            "the boot loader looks for its payload at offset {end:#x}, but ends at {size:#x}"
        ))),
        _ => Ok(()),
    }
}

fn append_payload(image: &mut Vec<u8>, parts: &Parts<'_>) -> Result<()> {
    let (kernel, root) = (parts.kernel, parts.root);
    let header = Header::layout(parts.max_cores, kernel.len() as u64, root.len() as u64)
        .ok_or_else(|| Failure::new("kernel and root task are too large for an image"))?;
    let start = image.len();
    image.extend_from_slice(&header.encode());
    for (offset, bytes) in [(header.kernel_offset, kernel), (header.root_offset, root)] {
        image.resize(start + offset as usize, 0);
        image.extend_from_slice(bytes);
    }
    image.resize(start + header.total_len as usize, 0);
    debug_assert!(header.total_len.is_multiple_of(ALIGN));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::sample::{Part, executable};

    fn loader() -> Vec<u8> {
        let mut code = vec![0; 64];
        code[8..16].copy_from_slice(&tern_platform::image::TEXT_OFFSET.to_le_bytes());
        code[56..60].copy_from_slice(&tern_platform::image::MAGIC.to_le_bytes());
        executable(
            0,
            &[Part::new(0, &code, 64), Part::new(0x1000, b"", 0x1001)],
        )
    }

    #[test]
    fn the_loader_finds_what_was_put_in() {
        let loader = loader();
        let parts = Parts {
            loader: &loader,
            kernel: &[1; 5000],
            root: &[2; 100],
            max_cores: 8,
        };
        let image = compose(&parts).unwrap();
        assert_eq!(
            tern_platform::image::size(&image).unwrap(),
            image.len() as u64
        );
        let payload = &image[0x3000..];
        let header = Header::parse(payload).unwrap();
        assert_eq!(header.max_cores, 8);
        assert_eq!(header.total_len, payload.len() as u64);
        assert_eq!(header.kernel(payload).unwrap(), parts.kernel);
        assert_eq!(header.root(payload).unwrap(), parts.root);
    }

    #[test]
    fn a_loader_without_header_is_refused() {
        let loader = executable(0, &[Part::new(0, &[0; 64], 64)]);
        let parts = Parts {
            loader: &loader,
            kernel: &[1],
            root: &[2],
            max_cores: 1,
        };
        assert!(
            compose(&parts)
                .unwrap_err()
                .message
                .contains("arm64 image header")
        );
    }
}
