//! Trying something that may fault.

use sel4_abi::CapRights;

use super::ThreadBuilder;
use crate::fault::Fault;
use crate::message::Message;
use crate::system::{ResourceError, System};

/// The badge of the handler capability, which tells faults from what the thread itself sends.
const FAULT_BADGE: u64 = 1;

/// Runs a closure in a thread of its own, on core 0, and waits for it: its result, or the fault that ended it.
///
/// ```ignore
/// let counts = run_guarded(&mut system, || time::counts_instructions())?.unwrap_or(false);
/// ```
///
/// # Errors
/// No slots, memory or addresses.
pub fn run_guarded<T, F>(system: &mut System, body: F) -> Result<Result<T, Fault>, ResourceError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let endpoint = system.endpoint()?;
    let reply = system.reply()?;
    let handler = system.mint(endpoint, CapRights::all(), FAULT_BADGE)?;
    let thread = ThreadBuilder::new("guarded")
        .priority(254)
        .fault_handler(handler)
        .spawn(system, move || {
            let value = body();
            endpoint.send(Message::new(0));
            value
        })?;
    let received = endpoint.recv(reply);
    let outcome = match Fault::from_received(&received) {
        Some(fault) if received.badge == FAULT_BADGE => {
            thread.destroy(system)?;
            Err(fault)
        }
        _ => Ok(thread.join(system)?),
    };
    system.delete_copy(handler)?;
    system.destroy(reply)?;
    system.destroy(endpoint)?;
    Ok(outcome)
}
