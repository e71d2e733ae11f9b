//! One QEMU at a time: started so that it cannot outlive this tool, watched, and always ended.
//!
//! A run ends by the guest's exit, by a line that was waited for, by a time-out, or because the kernel panicked and then
//! hung. Whatever the guest's status says, a kernel panic is a failure.

use crate::boards::Machine;
use crate::failure::{Context, Failure, Result, TIMED_OUT};
use crate::workspace::which;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const QEMU: &str = "qemu-system-aarch64";
/// Where a debugger attaches, on this machine only.
pub(crate) const GDB_PORT: u16 = 1234;
/// The kernel prints this when it panics.
pub(crate) const PANIC: &str = "kernel panic";
/// How long a panicking kernel may take to print its report and end the run.
const PANIC_GRACE: Duration = Duration::from_secs(5);
/// After the text that was waited for, how long the rest of its line may take.
const LINE_GRACE: Duration = Duration::from_millis(200);
/// Of a longer output, the beginning and the end are kept, at least this much of each.
const LOG_LIMIT: usize = 1 << 18;
/// A line longer than this is taken for several.
const LINE_LIMIT: usize = 1 << 16;

/// What QEMU starts with.
pub(crate) enum Boot {
    /// A raw image, with the device tree that QEMU makes for the machine.
    Image(PathBuf),
    /// Raw files at addresses, the first of which is entered; nothing else is given to the guest.
    Raw(Vec<(u64, PathBuf)>),
}

/// When to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) timeout: Option<Duration>,
    /// A line with this text ends the run with success.
    pub(crate) until: Option<String>,
}

/// Where the guest's console goes while it runs. It is kept for the result in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Console {
    Stdout,
    Quiet,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The guest's exit status, or QEMU's own when it refused to start.
    Exit(u8),
    /// QEMU was killed from outside.
    Killed,
    /// The text that was waited for appeared.
    Until,
    /// It never did, and the guest ended with success.
    NoUntil,
    TimedOut,
    /// The kernel panicked and did not end the run.
    HungPanic,
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) end: End,
    /// The console, then what QEMU itself complained about.
    pub(crate) log: String,
    pub(crate) panicked: bool,
    pub(crate) elapsed: Duration,
}

impl Finished {
    /// The exit status for a person's run.
    pub(crate) fn status(&self) -> u8 {
        match self.end {
            End::Exit(0) | End::Until if self.panicked => 1,
            End::Exit(status) => status,
            End::Until => 0,
            End::TimedOut => TIMED_OUT,
            End::NoUntil | End::Killed | End::HungPanic => 1,
        }
    }

    /// How it ended, in words.
    pub(crate) fn describe(&self) -> String {
        match self.end {
            End::Exit(status) if self.panicked => format!("{PANIC}, exit status {status}"),
            _ if self.panicked => PANIC.to_string(),
            End::Exit(status) => format!("exit status {status}"),
            End::Killed => "QEMU was killed".to_string(),
            End::Until => "the text appeared".to_string(),
            End::NoUntil => "the run ended before the text appeared".to_string(),
            End::TimedOut => format!("timed out after {:.0} s", self.elapsed.as_secs_f64()),
            End::HungPanic => format!("{PANIC}, then nothing"),
        }
    }
}

/// Every instruction that is executed, written into a file.
pub(crate) struct Trace {
    pub(crate) file: PathBuf,
    /// Instructions elsewhere are left out.
    pub(crate) addresses: Vec<Range<u64>>,
}

impl Trace {
    /// QEMU's arguments for it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let ranges: Vec<String> = self
            .addresses
            .iter()
            .map(|range| format!("{:#x}..{:#x}", range.start, range.end - 1))
            .collect();
        [
            "-accel",
            "tcg,one-insn-per-tb=on",
            "-d",
            "exec,nochain",
            "-dfilter",
            &ranges.join(","),
            "-D",
            &self.file.display().to_string(),
        ]
        .map(String::from)
        .into()
    }
}

/// Boots a machine and stays with it to its end.
pub(crate) fn run(
    machine: &Machine,
    boot: &Boot,
    limits: &Limits,
    console: Console,
) -> Result<Finished> {
    run_with(machine, boot, limits, console, Extras::default())
}

/// What is called with QEMU's process and a line.
type Lines<'a> = Box<dyn FnMut(u32, &str) + 'a>;

/// What else a run may have.
#[derive(Default)]
pub(crate) struct Extras<'a> {
    /// Arguments of QEMU's.
    pub(crate) arguments: Vec<String>,
    /// Is told QEMU's process and each line of the console, as soon as it is complete.
    pub(crate) lines: Option<Lines<'a>>,
}

/// The same, with more.
pub(crate) fn run_with<'a>(
    machine: &Machine,
    boot: &Boot,
    limits: &'a Limits,
    console: Console,
    extras: Extras<'a>,
) -> Result<Finished> {
    let mut command = guarded_qemu();
    command
        .args(machine.arguments())
        .args(boot.arguments())
        .args(extras.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut qemu = Qemu(command.spawn().running(QEMU)?);
    let (Some(stdout), Some(stderr)) = (qemu.0.stdout.take(), qemu.0.stderr.take()) else {
        return Err(Failure::new("QEMU has no output to read"));
    };
    let (sender, events) = channel();
    forward(stdout, sender.clone(), Event::Console);
    forward(stderr, sender, Event::Complaint);
    let process = qemu.0.id();
    let mut watch = Watch::new(limits, console);
    watch.lines = extras.lines.map(|lines| (process, lines));
    watch.follow(&mut qemu, &events)
}

/// Starts QEMU for a debugger and waits for it without any limit.
pub(crate) fn run_for_debugger(machine: &Machine, boot: &Boot) -> Result<u8> {
    let mut command = guarded_qemu();
    command
        .args(machine.arguments())
        .args(boot.arguments())
        .args(["-S", "-gdb", &format!("tcp:127.0.0.1:{GDB_PORT}")])
        .stdin(Stdio::null());
    let status = Qemu(command.spawn().running(QEMU)?)
        .0
        .wait()
        .running(QEMU)?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// QEMU's command line, to be followed by its arguments, so made that Linux kills QEMU when the thread that starts it
/// ends, be it by a signal to this process that nobody can handle.
///
/// `setpriv` belongs to Debian's base system. The shell closes a gap: this process could have gone before `setpriv`
/// asked for the signal. Each of them replaces itself by the next, so the process started here is QEMU in the end.
fn guarded_qemu() -> Command {
    let Some(setpriv) = which("setpriv") else {
        return Command::new(QEMU);
    };
    let mut command = Command::new(setpriv);
    command
        .args(["--pdeathsig", "KILL", "/bin/sh", "-c"])
        .arg("[ \"$PPID\" = \"$0\" ] || exit 1; exec \"$@\"")
        .arg(std::process::id().to_string())
        .arg(QEMU);
    command
}

impl Boot {
    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Image(path) => vec!["-kernel".to_string(), path.display().to_string()],
            Self::Raw(files) => files
                .iter()
                .enumerate()
                .flat_map(|(index, (address, path))| {
                    let entry = if index == 0 { ",cpu-num=0" } else { "" };
                    // A comma in a file name is doubled for QEMU.
                    let path = path.display().to_string().replace(',', ",,");
                    [
                        "-device".to_string(),
                        format!("loader,file={path},addr={address:#x},force-raw=on{entry}"),
                    ]
                })
                .collect(),
        }
    }
}

/// A QEMU process; dropping it kills it.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail only when QEMU has ended and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum Event {
    Console(Vec<u8>),
    Complaint(Vec<u8>),
}

/// Passes a pipe on, piece by piece, until it is closed.
fn forward(
    mut pipe: impl Read + Send + 'static,
    events: Sender<Event>,
    event: fn(Vec<u8>) -> Event,
) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if events.send(event(buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
}

/// What is known about a run while it goes on.
struct Watch<'a> {
    limits: &'a Limits,
    console: Console,
    started: Instant,
    log: Vec<u8>,
    line: Vec<u8>,
    complaints: Vec<u8>,
    panicked: Option<Instant>,
    found: Option<Instant>,
    lines: Option<(u32, Lines<'a>)>,
}

impl<'a> Watch<'a> {
    fn new(limits: &'a Limits, console: Console) -> Self {
        Self {
            limits,
            console,
            started: Instant::now(),
            log: Vec::new(),
            line: Vec::new(),
            complaints: Vec::new(),
            panicked: None,
            found: None,
            lines: None,
        }
    }

    fn follow(mut self, qemu: &mut Qemu, events: &Receiver<Event>) -> Result<Finished> {
        let end = loop {
            match events.recv_timeout(self.patience()) {
                Ok(Event::Console(bytes)) => self.console_bytes(&bytes)?,
                Ok(Event::Complaint(bytes)) => self.complaint(&bytes),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => break self.end_of(qemu)?,
            }
            if let Some(end) = self.end() {
                break end;
            }
        };
        if self.console == Console::Stdout && !self.line.is_empty() {
            println!();
        }
        let mut log = String::from_utf8_lossy(&self.log).into_owned();
        if self.console == Console::Quiet && !self.complaints.is_empty() {
            log += &String::from_utf8_lossy(&self.complaints);
        }
        Ok(Finished {
            end,
            log,
            panicked: self.panicked.is_some(),
            elapsed: self.started.elapsed(),
        })
    }

    /// QEMU has closed its output: it has ended, or is about to.
    fn end_of(&self, qemu: &mut Qemu) -> Result<End> {
        let status = qemu.0.wait().running(QEMU)?;
        if self.found.is_some() {
            return Ok(End::Until);
        }
        Ok(match status.code() {
            Some(0) if self.limits.until.is_some() => End::NoUntil,
            Some(code) => End::Exit(u8::try_from(code).unwrap_or(1)),
            None => End::Killed,
        })
    }

    /// The reasons to end the run from here, with the time at which each of them holds.
    fn ends(&self) -> [Option<(Instant, End)>; 3] {
        let timeout = self.limits.timeout.map(|timeout| self.started + timeout);
        [
            self.found.map(|since| (since + LINE_GRACE, End::Until)),
            self.panicked
                .map(|since| (since + PANIC_GRACE, End::HungPanic)),
            timeout.map(|at| (at, End::TimedOut)),
        ]
    }

    fn end(&self) -> Option<End> {
        if self.found.is_some() && self.line.is_empty() {
            return Some(End::Until);
        }
        let now = Instant::now();
        self.ends()
            .into_iter()
            .flatten()
            .find(|(at, _)| now >= *at)
            .map(|(_, end)| end)
    }

    /// How long nothing can happen but an event.
    fn patience(&self) -> Duration {
        self.ends()
            .into_iter()
            .flatten()
            .map(|(at, _)| at.saturating_duration_since(Instant::now()))
            .min()
            .unwrap_or(Duration::from_secs(3600))
    }

    fn console_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        // The guest ends its lines as a serial terminal wants them.
        let bytes: Vec<u8> = bytes
            .iter()
            .copied()
            .filter(|&byte| byte != b'\r')
            .collect();
        if self.console == Console::Stdout {
            let mut out = std::io::stdout().lock();
            out.write_all(&bytes)
                .and_then(|()| out.flush())
                .doing("write to", Path::new("standard output"))?;
        }
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            self.look_at_line();
            if piece.ends_with(b"\n") || self.line.len() > LINE_LIMIT {
                if let Some((process, lines)) = &mut self.lines {
                    lines(*process, String::from_utf8_lossy(&self.line).trim_end());
                }
                self.line.clear();
            }
        }
        keep(&mut self.log, &bytes);
        Ok(())
    }

    fn look_at_line(&mut self) {
        if contains(&self.line, PANIC) {
            self.panicked.get_or_insert_with(Instant::now);
        }
        if let Some(until) = &self.limits.until
            && contains(&self.line, until)
        {
            self.found.get_or_insert_with(Instant::now);
        }
    }

    fn complaint(&mut self, bytes: &[u8]) {
        if self.console == Console::Stdout {
            // Nothing sensible can be done when standard error is closed.
            let _ = std::io::stderr().write_all(bytes);
        }
        keep(&mut self.complaints, bytes);
    }
}

/// Adds to a log and takes something out of the middle when it has become too long.
fn keep(log: &mut Vec<u8>, bytes: &[u8]) {
    const LEFT_OUT: &[u8] = b"\n[... output left out ...]\n";
    log.extend_from_slice(bytes);
    if log.len() > 4 * LOG_LIMIT {
        let end = log.len() - LOG_LIMIT;
        log.splice(LOG_LIMIT..end, LEFT_OUT.iter().copied());
    }
}

fn contains(line: &[u8], text: &str) -> bool {
    !text.is_empty()
        && line
            .windows(text.len())
            .any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch_lines(limits: &Limits, pieces: &[&str]) -> (bool, bool, String) {
        let mut watch = Watch::new(limits, Console::Quiet);
        for piece in pieces {
            watch.console_bytes(piece.as_bytes()).unwrap();
        }
        let log = String::from_utf8(watch.log).unwrap();
        (watch.found.is_some(), watch.panicked.is_some(), log)
    }

    #[test]
    fn whole_lines_are_passed_on() {
        let limits = Limits::default();
        let mut seen = Vec::new();
        let lines = |process: u32, line: &str| seen.push(format!("{process}: {line}"));
        let mut watch = Watch::new(&limits, Console::Quiet);
        watch.lines = Some((7, Box::new(lines)));
        for piece in ["begin ca", "ll 1\r\nrate", " call\nrest"] {
            watch.console_bytes(piece.as_bytes()).unwrap();
        }
        drop(watch);
        assert_eq!(seen, ["7: begin call 1", "7: rate call"]);
    }

    #[test]
    fn text_is_found_across_pieces_but_not_across_lines() {
        let limits = Limits {
            until: Some("All is well".into()),
            timeout: None,
        };
        assert!(watch_lines(&limits, &["x All is", " well"]).0);
        assert!(!watch_lines(&limits, &["All is\r\n", " well\r\n"]).0);
        let (_, panicked, log) = watch_lines(&limits, &["core 1: kernel pa", "nic\r\n"]);
        assert!(panicked);
        assert_eq!(log, "core 1: kernel panic\n");
    }

    fn finished(end: End, panicked: bool) -> Finished {
        Finished {
            end,
            log: String::new(),
            panicked,
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn a_panic_is_never_a_success() {
        assert_eq!(finished(End::Exit(0), false).status(), 0);
        assert_eq!(finished(End::Exit(0), true).status(), 1);
        assert_eq!(finished(End::Until, true).status(), 1);
        assert_eq!(finished(End::Exit(42), true).status(), 42);
        assert_eq!(finished(End::NoUntil, false).status(), 1);
        assert_eq!(finished(End::TimedOut, false).status(), TIMED_OUT);
    }

    #[test]
    fn raw_files_are_entered_at_the_first() {
        let boot = Boot::Raw(vec![(16, "a,b".into()), (32, "c".into())]);
        assert_eq!(
            boot.arguments(),
            [
                "-device",
                "loader,file=a,,b,addr=0x10,force-raw=on,cpu-num=0",
                "-device",
                "loader,file=c,addr=0x20,force-raw=on"
            ]
        );
    }

    #[test]
    fn a_log_keeps_its_beginning_and_its_end() {
        let mut log = b"first".to_vec();
        for _ in 0..8 {
            keep(&mut log, &vec![b'x'; LOG_LIMIT]);
        }
        keep(&mut log, b"last");
        assert!(log.len() <= 4 * LOG_LIMIT);
        assert!(log.starts_with(b"first") && log.ends_with(b"last"));
        assert!(contains(&log, "output left out"));
    }
}
