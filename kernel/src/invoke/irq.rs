//! Interrupt control, handlers, and software-generated interrupts.

use sel4_abi::{CapRights, Invocation};

use super::{Args, Outcome, Results};
use crate::{
    access::Kernel,
    cap::{Cap, IrqLine},
    cdt,
    config::SMP,
    cspace, delete,
    fault::SysError,
    irq,
    object::SlotRef,
    reach,
    types::CoreId,
};

/// Software-generated interrupts there are.
const SGIS: u64 = 16;
/// Targets that a software-generated interrupt can always name, whether there is such a core or not: those of GICv2.
const SGI_TARGETS: usize = 8;

/// What a label asks for. A few labels depend on whether the configuration is for one core or for several.
pub fn invocation(label: u64) -> Option<Invocation> {
    if SMP {
        Invocation::from_label(label)
    } else {
        Invocation::from_label_single_core(label)
    }
}

/// What is to be done: everything has been checked.
enum Plan {
    IssueHandler {
        line: IrqLine,
        edge: Option<bool>,
        route: Option<CoreId>,
        destination: SlotRef,
    },
    IssueSgi {
        sgi: u8,
        target: CoreId,
        destination: SlotRef,
    },
    Acknowledge {
        line: IrqLine,
    },
    SetHandler {
        line: IrqLine,
        source: SlotRef,
    },
    ClearHandler {
        line: IrqLine,
    },
}

/// The interrupt control capability and the handlers.
pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let plan = match cap {
        Cap::IrqControl => decode_control(k, args)?,
        Cap::IrqHandler { line } => {
            match invocation(args.label) {
                Some(Invocation::IrqAck) => reach::hold(k, |k| reach::object::line(k, line))?,
                _ => reach::hold_all(k)?,
            }
            decode_handler(k, args, line)?
        }
        Cap::SgiSignal { sgi, target } => return Ok(send(k, sgi, target)),
        _ => unreachable!("dispatched by capability type"),
    };
    perform(k, args.slot, plan)
}

fn decode_control(k: &Kernel<'_>, args: &Args) -> Result<Plan, SysError> {
    match invocation(args.label) {
        Some(Invocation::IrqIssueHandler) => {
            args.require(3, 1)?;
            let intid = intid(k, args)?;
            let line = inactive(k, irq::line_of(intid, CoreId::BOOT))?;
            let destination = destination(k, args, 1)?;
            Ok(Plan::IssueHandler {
                line,
                edge: None,
                route: None,
                destination,
            })
        }
        Some(Invocation::IrqIssueHandlerTrigger) => {
            args.require(4, 1)?;
            let intid = intid(k, args)?;
            if SMP && intid < irq::PRIVATE_LINES {
                return Err(SysError::IllegalOperation);
            }
            let line = inactive(k, irq::line_of(intid, CoreId::BOOT))?;
            let destination = destination(k, args, 2)?;
            Ok(Plan::IssueHandler {
                line,
                edge: Some(trigger(k, args)),
                route: None,
                destination,
            })
        }
        Some(Invocation::IrqIssueHandlerTriggerCore) => {
            args.require(5, 1)?;
            let intid = intid(k, args)?;
            let core = core(args.word(k, 4), k.num_cores()).ok_or(SysError::InvalidArgument(4))?;
            let line = inactive(k, irq::line_of(intid, core))?;
            let depth = args.word(k, 3) & 0xff;
            let destination = destination_at_depth(k, args, args.word(k, 2), depth)?;
            let edge = Some(trigger(k, args));
            Ok(Plan::IssueHandler {
                line,
                edge,
                route: Some(core),
                destination,
            })
        }
        Some(Invocation::IrqIssueSgiSignal) => {
            args.require(4, 1)?;
            let sgi = args.word(k, 0);
            if sgi >= SGIS {
                return Err(SysError::RangeError {
                    min: 0,
                    max: SGIS - 1,
                });
            }
            let targets = k.num_cores().max(SGI_TARGETS);
            let target = core(args.word(k, 1), targets).ok_or(SysError::InvalidArgument(1))?;
            if irq::KERNEL_SGIS.contains(&(sgi as u32)) {
                return Err(SysError::RevokeFirst);
            }
            let destination = destination(k, args, 2)?;
            Ok(Plan::IssueSgi {
                sgi: sgi as u8,
                target,
                destination,
            })
        }
        _ => Err(SysError::IllegalOperation),
    }
}

/// The interrupt number, which is always the first word.
fn intid(k: &Kernel<'_>, args: &Args) -> Result<u32, SysError> {
    let max = k.machine().max_intid;
    let intid = u32::try_from(args.word(k, 0))
        .ok()
        .filter(|&intid| intid <= max);
    intid.ok_or(SysError::RangeError {
        min: 0,
        max: u64::from(max),
    })
}

/// Whether an edge is asked for; else a level.
fn trigger(k: &Kernel<'_>, args: &Args) -> bool {
    args.word(k, 1) != 0
}

fn core(number: u64, count: usize) -> Option<CoreId> {
    (number < count as u64).then_some(CoreId(number as u16))
}

fn inactive(k: &Kernel<'_>, line: IrqLine) -> Result<IrqLine, SysError> {
    if irq::is_active(k, line) {
        Err(SysError::RevokeFirst)
    } else {
        Ok(line)
    }
}

/// The free slot that two words from `first` on name: index and depth.
fn destination(k: &Kernel<'_>, args: &Args, first: usize) -> Result<SlotRef, SysError> {
    destination_at_depth(k, args, args.word(k, first), args.word(k, first + 1))
}

fn destination_at_depth(
    k: &Kernel<'_>,
    args: &Args,
    index: u64,
    depth: u64,
) -> Result<SlotRef, SysError> {
    let slot = cspace::lookup_target_slot(k, args.extra_raw(k, 0), index, depth, false)?;
    cspace::ensure_empty(k, slot)?;
    Ok(slot)
}

fn decode_handler(k: &Kernel<'_>, args: &Args, line: IrqLine) -> Result<Plan, SysError> {
    match invocation(args.label) {
        Some(Invocation::IrqAck) => Ok(Plan::Acknowledge { line }),
        Some(Invocation::IrqSetHandler) => {
            args.require(0, 1)?;
            match args.extra_cap(k, 0) {
                Cap::Notification { rights, .. } if rights.contains(CapRights::WRITE) => {}
                _ => return Err(SysError::InvalidCapability(0)),
            }
            Ok(Plan::SetHandler {
                line,
                source: args.extra_slot(0)?,
            })
        }
        Some(Invocation::IrqClearHandler) => Ok(Plan::ClearHandler { line }),
        _ => Err(SysError::IllegalOperation),
    }
}

/// Nothing here can fail. Taking away a notification may be left half-way if it was the last capability to it; then
/// the same invocation goes on.
fn perform(k: &mut Kernel<'_>, control: SlotRef, plan: Plan) -> Outcome {
    match plan {
        Plan::IssueHandler {
            line,
            edge,
            route,
            destination,
        } => {
            cdt::insert(k, Cap::IrqHandler { line }, control, destination);
            irq::hand_out(k, line, edge, route);
        }
        Plan::IssueSgi {
            sgi,
            target,
            destination,
        } => {
            cdt::insert(k, Cap::SgiSignal { sgi, target }, control, destination);
        }
        Plan::Acknowledge { line } => irq::unmask(k, line),
        Plan::SetHandler { line, source } => {
            let slot = irq::line_slot(k, line);
            delete::delete(k, slot)?;
            let cap = k.get(source).cap();
            cdt::insert(k, cap, source, slot);
        }
        Plan::ClearHandler { line } => {
            delete::delete(k, irq::line_slot(k, line))?;
        }
    }
    Ok(Results::none())
}

/// Sends a software-generated interrupt. One for a core that did not come up goes nowhere.
fn send(k: &Kernel<'_>, sgi: u8, target: CoreId) -> Results {
    // The target of a capability need not be a core that this kernel could have.
    if usize::from(target.0) < k.num_cores() {
        k.machine().gic.send_sgi(u32::from(sgi), target.index());
    }
    Results::none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arch::host,
        fault::LookupFailure,
        object::NotificationState,
        vspace::bench::{Bench, DEPTH},
    };

    const GET: u64 = 26;
    const ACK: u64 = 27;
    const SET: u64 = 28;
    const CLEAR: u64 = 29;
    const TRIGGER: u64 = 55;
    const TRIGGER_CORE: u64 = 56;
    const SGI: u64 = if SMP { 57 } else { 56 };
    /// The highest interrupt of the host machine.
    const MAX: u64 = 255;
    const RANGE: SysError = SysError::RangeError { min: 0, max: MAX };

    struct Lines {
        b: Bench,
        control: SlotRef,
        root: SlotRef,
    }

    impl Lines {
        fn new() -> Self {
            let mut b = Bench::new();
            let (control, root) = (b.slot(Cap::IrqControl), b.cnode());
            Self { b, control, root }
        }

        fn control(&mut self, label: u64, words: &[u64]) -> Result<(), SysError> {
            let (control, root) = (self.control, self.root);
            self.b
                .call(invoke, control, label, words, &[root])
                .map(|words| assert!(words.is_empty()))
        }

        /// A new empty slot.
        fn empty(&mut self) -> (SlotRef, u64) {
            let slot = self.b.slot(Cap::Null);
            (slot, self.b.index(slot))
        }

        fn handler(&mut self, intid: u64) -> SlotRef {
            let (slot, index) = self.empty();
            self.control(GET, &[intid, index, DEPTH]).expect("inactive");
            slot
        }

        fn on_handler(
            &mut self,
            slot: SlotRef,
            label: u64,
            extra: &[SlotRef],
        ) -> Result<(), SysError> {
            self.b
                .call(invoke, slot, label, &[], extra)
                .map(|words| assert!(words.is_empty()))
        }
    }

    #[test]
    fn get_checks_in_order() {
        let mut t = Lines::new();
        let (slot, index) = t.empty();
        assert_eq!(
            t.control(GET, &[40, index]),
            Err(SysError::TruncatedMessage)
        );
        let control = t.control;
        let result = t.b.call(invoke, control, GET, &[!0, index, DEPTH], &[]);
        assert_eq!(result, Err(SysError::TruncatedMessage));
        assert_eq!(t.control(GET, &[MAX + 1, index, 0]), Err(RANGE));
        assert_eq!(t.control(GET, &[1 << 32, index, 0]), Err(RANGE));
        // The kernel's own: before the slot is looked up.
        assert_eq!(t.control(GET, &[27, index, 0]), Err(SysError::RevokeFirst));
        for sgi in 0..2 {
            let depth = SysError::RangeError { min: 1, max: 64 };
            let expected = if SMP { SysError::RevokeFirst } else { depth };
            assert_eq!(t.control(GET, &[sgi, index, 0]), Err(expected));
        }
        let occupied = t.b.index(t.root);
        assert_eq!(
            t.control(GET, &[40, occupied, DEPTH]),
            Err(SysError::DeleteFirst)
        );
        let result = t.b.call(invoke, control, GET, &[40, 1, 1], &[control]);
        let failure = LookupFailure::InvalidRoot;
        assert_eq!(
            result,
            Err(SysError::FailedLookup {
                source: false,
                failure
            })
        );

        assert_eq!(t.control(GET, &[40, index, DEPTH]), Ok(()));
        let line = IrqLine {
            intid: 40,
            core: CoreId::BOOT,
        };
        assert_eq!(t.b.cap(slot), Cap::IrqHandler { line });
        assert_eq!(cdt::first_child(&t.b.k, control), Some(slot));
        let (_, next) = t.empty();
        assert_eq!(
            t.control(GET, &[40, next, DEPTH]),
            Err(SysError::RevokeFirst)
        );
        for label in [0, 25, ACK, SET, CLEAR, 58] {
            assert_eq!(
                t.control(label, &[40, next, DEPTH]),
                Err(SysError::IllegalOperation)
            );
        }
    }

    #[test]
    fn get_trigger_checks_in_order() {
        let mut t = Lines::new();
        let (slot, index) = t.empty();
        assert_eq!(
            t.control(TRIGGER, &[40, 1, index]),
            Err(SysError::TruncatedMessage)
        );
        assert_eq!(t.control(TRIGGER, &[MAX + 1, 1, index, DEPTH]), Err(RANGE));
        let private = t.control(TRIGGER, &[27, 1, index, 0]);
        let expected = if SMP {
            SysError::IllegalOperation
        } else {
            SysError::RevokeFirst
        };
        assert_eq!(private, Err(expected));
        assert_eq!(t.control(TRIGGER, &[MAX, 7, index, DEPTH]), Ok(()));
        let line = IrqLine {
            intid: MAX as u32,
            core: CoreId::BOOT,
        };
        assert_eq!(t.b.cap(slot), Cap::IrqHandler { line });
        let (_, next) = t.empty();
        assert_eq!(
            t.control(TRIGGER, &[MAX, 0, next, 0]),
            Err(SysError::RevokeFirst)
        );
    }

    #[test]
    fn get_trigger_core_checks_in_order() {
        let mut t = Lines::new();
        let (slot, index) = t.empty();
        if !SMP {
            // The number means something else.
            let result = t.control(TRIGGER_CORE, &[16, 0, index, DEPTH]);
            assert_eq!(result, Err(SysError::RangeError { min: 0, max: 15 }));
            return;
        }
        let cores = t.b.k.num_cores() as u64;
        let truncated = t.control(TRIGGER_CORE, &[40, 1, index, DEPTH]);
        assert_eq!(truncated, Err(SysError::TruncatedMessage));
        assert_eq!(
            t.control(TRIGGER_CORE, &[MAX + 1, 1, index, 0, cores]),
            Err(RANGE)
        );
        let target = Err(SysError::InvalidArgument(4));
        assert_eq!(t.control(TRIGGER_CORE, &[27, 1, index, 0, cores]), target);
        assert_eq!(t.control(TRIGGER_CORE, &[27, 1, index, 0, 1 << 16]), target);
        for core in 0..cores {
            let result = t.control(TRIGGER_CORE, &[27, 1, index, 0, core]);
            assert_eq!(result, Err(SysError::RevokeFirst), "every core's timer");
        }
        // Only eight bits of the depth count.
        assert_eq!(
            t.control(TRIGGER_CORE, &[20, 1, index, DEPTH | 0x100, 1]),
            Ok(())
        );
        let line = IrqLine {
            intid: 20,
            core: CoreId(1),
        };
        assert_eq!(t.b.cap(slot), Cap::IrqHandler { line });
        // That core is asked to unmask it; the same line of other cores is free.
        assert_eq!(t.b.k.core(CoreId(1)).unmask_ppis, 1 << 20);
        assert!(t.b.k.core(CoreId(1)).pending);
        let (_, next) = t.empty();
        let again = t.control(TRIGGER_CORE, &[20, 1, next, DEPTH, 1]);
        assert_eq!(again, Err(SysError::RevokeFirst));
        assert_eq!(t.control(TRIGGER_CORE, &[20, 1, next, DEPTH, 0]), Ok(()));
        // A shared line has one handler, whatever core it goes to.
        let (other, next) = t.empty();
        assert_eq!(t.control(TRIGGER_CORE, &[40, 1, next, DEPTH, 1]), Ok(()));
        let line = IrqLine {
            intid: 40,
            core: CoreId::BOOT,
        };
        assert_eq!(t.b.cap(other), Cap::IrqHandler { line });
        let (_, next) = t.empty();
        let again = t.control(TRIGGER_CORE, &[40, 1, next, DEPTH, 0]);
        assert_eq!(again, Err(SysError::RevokeFirst));
    }

    #[test]
    fn sgi_checks_in_order() {
        let mut t = Lines::new();
        let (slot, index) = t.empty();
        let targets = t.b.k.num_cores().max(8) as u64;
        assert_eq!(
            t.control(SGI, &[5, 0, index]),
            Err(SysError::TruncatedMessage)
        );
        let range = SysError::RangeError { min: 0, max: 15 };
        assert_eq!(t.control(SGI, &[16, targets, index, 0]), Err(range));
        let target = Err(SysError::InvalidArgument(1));
        assert_eq!(t.control(SGI, &[1, targets, index, 0]), target);
        if SMP {
            assert_eq!(
                t.control(SGI, &[1, 0, index, 0]),
                Err(SysError::RevokeFirst)
            );
        }
        let occupied = t.b.index(t.root);
        assert_eq!(
            t.control(SGI, &[5, 0, occupied, DEPTH]),
            Err(SysError::DeleteFirst)
        );
        assert_eq!(t.control(SGI, &[5, 0, index, DEPTH]), Ok(()));
        assert_eq!(
            t.b.cap(slot),
            Cap::SgiSignal {
                sgi: 5,
                target: CoreId::BOOT
            }
        );
        assert_eq!(cdt::first_child(&t.b.k, t.control), Some(slot));
        host::take_rung();
        for label in [0, ACK, 12345] {
            assert_eq!(t.on_handler(slot, label, &[]), Ok(()));
            assert!(host::take_rung().contains(CoreId::BOOT));
        }
    }

    #[test]
    fn a_handler_is_told_until_it_is_cleared() {
        let mut t = Lines::new();
        let handler = t.handler(40);
        let notification = t.b.notification();
        let cap = |badge, rights| Cap::Notification {
            notification,
            badge,
            rights,
        };
        let good = t.b.slot(cap(0x10, CapRights::WRITE));
        let unsignalled = t.b.slot(cap(0x20, CapRights::READ));
        assert_eq!(
            t.on_handler(handler, SET, &[]),
            Err(SysError::TruncatedMessage)
        );
        for bad in [unsignalled, handler, t.root] {
            let result = t.on_handler(handler, SET, &[bad]);
            assert_eq!(result, Err(SysError::InvalidCapability(0)));
        }
        assert_eq!(
            t.on_handler(handler, GET, &[]),
            Err(SysError::IllegalOperation)
        );
        assert_eq!(t.on_handler(handler, ACK, &[]), Ok(()));

        let state = |t: &Lines| t.b.k.get(notification).state();
        irq::handle(&mut t.b.k, 40);
        assert_eq!(state(&t), NotificationState::Idle, "nobody to tell");
        assert_eq!(t.on_handler(handler, SET, &[good]), Ok(()));
        irq::handle(&mut t.b.k, 41);
        irq::handle(&mut t.b.k, 27);
        assert_eq!(state(&t), NotificationState::Idle);
        irq::handle(&mut t.b.k, 40);
        assert_eq!(state(&t), NotificationState::Active(0x10));

        // Another one takes its place; both are in the derivation list while they are there.
        let other = t.b.slot(cap(0x40, CapRights::all()));
        assert_eq!(t.on_handler(handler, SET, &[other]), Ok(()));
        irq::handle(&mut t.b.k, 40);
        assert_eq!(state(&t), NotificationState::Active(0x50));
        assert_eq!(t.b.k.get(good).next(), None);
        let line = IrqLine {
            intid: 40,
            core: CoreId::BOOT,
        };
        assert_eq!(t.b.k.get(other).next(), Some(irq::line_slot(&t.b.k, line)));
        assert_eq!(t.on_handler(handler, CLEAR, &[]), Ok(()));
        assert_eq!(t.on_handler(handler, CLEAR, &[]), Ok(()));
        assert_eq!(t.b.k.get(other).next(), None);
    }

    #[test]
    fn a_deleted_handler_frees_the_line() {
        let mut t = Lines::new();
        let handler = t.handler(40);
        let notification = t.b.notification();
        let cap = Cap::Notification {
            notification,
            badge: 1,
            rights: CapRights::all(),
        };
        let own = t.b.slot(cap);
        t.on_handler(handler, SET, &[own]).expect("a notification");
        assert_eq!(delete::delete(&mut t.b.k, handler), Ok(()));
        assert_eq!(t.b.k.get(own).next(), None);
        irq::handle(&mut t.b.k, 40);
        assert_eq!(t.b.k.get(notification).state(), NotificationState::Idle);
        t.handler(40);
    }

    #[test]
    fn another_cores_private_line_is_asked_for() {
        let mut t = Lines::new();
        if t.b.k.num_cores() < 2 {
            return;
        }
        let (handler, index) = t.empty();
        t.control(TRIGGER_CORE, &[20, 1, index, DEPTH, 1])
            .expect("inactive");
        let core = |t: &Lines| {
            let core = t.b.k.core(CoreId(1));
            (core.unmask_ppis, core.mask_ppis)
        };
        assert_eq!(core(&t), (1 << 20, 0));
        t.b.k.core_mut(CoreId(1)).unmask_ppis = 0;
        t.on_handler(handler, ACK, &[]).expect("no errors");
        assert_eq!(core(&t), (1 << 20, 0));
        assert_eq!(delete::delete(&mut t.b.k, handler), Ok(()));
        assert_eq!(core(&t), (0, 1 << 20), "one request replaces the other");
    }
}
