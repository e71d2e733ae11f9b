//! Several cores: the locks, the doorbell, and how a core is stopped.

pub mod lock;
pub mod stop;

use core::sync::atomic::Ordering;

use crate::{access::Kernel, types::CoreId};

/// Something changed that another core must look at: what it should run, or when its timer must fire. It gets a
/// doorbell unless it is going to look anyway.
pub fn poke(k: &mut Kernel<'_>, core: CoreId) {
    debug_assert!(core != k.me());
    let already = core::mem::replace(&mut k.core_mut(core).pending, true);
    k.core_mut(core).calm_until = 0;
    // Relaxed: the core clears the flag under its lock, which is held here.
    if !already && !k.flags(core).will_look.load(Ordering::Relaxed) {
        k.ring_later(core);
    }
}
