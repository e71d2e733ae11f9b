//! Stands for the kernel's `invoke`.

use crate::types::CoreSet;

/// Why an operation is left.
#[derive(Debug)]
pub enum Leave {
    /// These cores have to be stopped first.
    Stop(CoreSet),
}
