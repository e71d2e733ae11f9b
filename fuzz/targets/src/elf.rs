//! An ELF file, the kernel's or a root task's: a plan that can be carried out, or an error that names the problem.

use tern_platform::board::Region;
use tern_platform::handover::{KERNEL_BASE, STACK_BASE};
use tern_platform::load::elf::{self, MAX_SEGMENTS, Plan};

/// A file may ask for any amount of memory; images up to this size are made here.
const MOST: u64 = 1 << 20;
const USER_TOP: u64 = 1 << 47;

pub fn run(data: &[u8]) {
    let plan = match elf::plan(data) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!((1..=MAX_SEGMENTS).contains(&plan.segments.len()));
    for segment in &plan.segments {
        assert!(!segment.memory.is_empty());
        assert!(segment.file.start <= segment.file.end);
        assert!(
            segment.file.end <= data.len() as u64,
            "bytes outside the file"
        );
        assert!(segment.file.len() <= segment.memory.len());
    }
    let pairs = plan.segments.windows(2);
    let apart = |pair: &[elf::Segment]| pair[0].memory.end <= pair[1].memory.start;
    assert!(pairs.into_iter().all(apart), "{:?}", plan.segments);
    let code = plan.segments.iter().filter(|segment| segment.executable);
    assert!(
        code.into_iter()
            .any(|segment| (segment.memory.start..segment.memory.end).contains(&plan.entry))
    );
    let span = plan.span();
    let kernel = plan.check_kernel();
    let root = plan.check_root();
    if kernel.is_ok() {
        assert!(Region::new(KERNEL_BASE, STACK_BASE).contains(&span));
        let rights = |segment: &elf::Segment| segment.writable && segment.executable;
        assert!(!plan.segments.iter().any(rights), "writable code");
    }
    if root.is_ok() {
        assert!(span.end <= USER_TOP && plan.segments[0].memory.start == span.start);
    }
    if kernel.is_ok() || root.is_ok() {
        assert!(
            plan.segments
                .iter()
                .all(|segment| span.contains(&segment.memory))
        );
        load(&plan, data, span);
    }
}

/// In memory is what the file says, and zeroes, whatever was there.
fn load(plan: &Plan, file: &[u8], span: Region) {
    if span.len() > MOST {
        return;
    }
    let mut image = vec![0xa5; span.len() as usize];
    plan.load(file, span.start, &mut image);
    let mut expected = vec![0; image.len()];
    for segment in &plan.segments {
        for (index, at) in (segment.file.start..segment.file.end).enumerate() {
            expected[(segment.memory.start - span.start) as usize + index] = file[at as usize];
        }
    }
    assert!(image == expected, "what was loaded");
}
