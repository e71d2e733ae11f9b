//! The table of boards: everything QEMU is told about a machine is here, and what a user may ask of it is checked here.

use crate::failure::{Failure, Result, unknown};
use std::path::Path;

/// A board this tool can build images for and run in QEMU.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) name: &'static str,
    /// QEMU's name of the machine.
    machine: &'static str,
    /// CPU models, the default first.
    cpus: &'static [&'static str],
    /// Versions of the interrupt controller with the cores each can serve, the default first.
    gics: &'static [(u32, u32)],
    cores: u32,
    memory: &'static str,
    /// Where QEMU and firmware put the image; needed to find the loader's symbols.
    pub(crate) image_base: u64,
    supported: bool,
}

static BOARDS: [Board; 2] = [
    Board {
        name: "virt",
        machine: "virt",
        cpus: &[
            "cortex-a72",
            "cortex-a53",
            "max",
            "cortex-a35",
            "cortex-a55",
            "cortex-a57",
            "cortex-a76",
            "cortex-a710",
            "neoverse-n1",
            "neoverse-n2",
            "neoverse-v1",
        ],
        gics: &[(2, 8), (3, 64)],
        cores: 4,
        memory: "1G",
        image_base: 0x4020_0000,
        supported: true,
    },
    Board {
        name: "rpi4",
        machine: "raspi4b",
        cpus: &["cortex-a72"],
        gics: &[(2, 4)],
        cores: 4,
        memory: "2G",
        image_base: 0x20_0000,
        supported: false,
    },
];

/// The board used when none is named.
pub(crate) fn default_board() -> &'static Board {
    &BOARDS[0]
}

/// Looks a board up by name, supported or not.
pub(crate) fn known(name: &str) -> Result<&'static Board> {
    BOARDS
        .iter()
        .find(|board| board.name == name)
        .ok_or_else(|| unknown("board", name, BOARDS.iter().map(|board| board.name)))
}

/// Looks a supported board up by name.
pub(crate) fn board(name: &str) -> Result<&'static Board> {
    let board = known(name)?;
    if board.supported {
        return Ok(board);
    }
    let supported: Vec<&str> = BOARDS
        .iter()
        .filter(|board| board.supported)
        .map(|board| board.name)
        .collect();
    Err(Failure::usage(format!(
        "board '{name}' is not supported yet; supported: {}",
        supported.join(", ")
    )))
}

/// What a command line asks of a machine; `None` is the board's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) cores: Option<u32>,
    pub(crate) gic: Option<u32>,
    pub(crate) cpu: Option<String>,
    pub(crate) memory: Option<String>,
    pub(crate) icount: bool,
}

/// A machine that QEMU can make.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) board: &'static Board,
    pub(crate) cores: u32,
    pub(crate) gic: u32,
    pub(crate) cpu: String,
    memory: String,
    pub(crate) icount: bool,
}

impl Board {
    /// Checks a wish against what the board has.
    pub(crate) fn machine(&'static self, wanted: &Wanted) -> Result<Machine> {
        let cores = wanted.cores.unwrap_or(self.cores);
        let gic = wanted.gic.unwrap_or(self.gics[0].0);
        let Some(&(_, most)) = self.gics.iter().find(|(version, _)| *version == gic) else {
            let versions: Vec<String> = self.gics.iter().map(|(v, _)| v.to_string()).collect();
            return Err(unknown(
                "version of the interrupt controller",
                &gic.to_string(),
                versions.iter().map(String::as_str),
            ));
        };
        if cores == 0 || cores > most {
            return Err(Failure::usage(format!(
                "{cores} cores: board '{}' with GICv{gic} has 1 to {most}{}",
                self.name,
                match self.gics.iter().find(|(_, other)| *other >= cores) {
                    Some((version, _)) if cores > 0 => format!("; --gic {version} allows more"),
                    _ => String::new(),
                }
            )));
        }
        let cpu = wanted.cpu.as_deref().unwrap_or(self.cpus[0]);
        // QEMU takes properties after the model: `max,sve=off`.
        let model = cpu.split(',').next().unwrap_or_default();
        if !self.cpus.contains(&model) {
            return Err(unknown("CPU model", model, self.cpus.iter().copied()));
        }
        let memory = wanted.memory.as_deref().unwrap_or(self.memory);
        check_memory(memory)?;
        Ok(Machine {
            board: self,
            cores,
            gic,
            cpu: cpu.to_string(),
            memory: memory.to_string(),
            icount: wanted.icount,
        })
    }
}

fn check_memory(size: &str) -> Result<()> {
    let digits = size.trim_end_matches(['M', 'G']);
    let valid = size.len() - digits.len() == 1
        && digits
            .parse::<u64>()
            .is_ok_and(|number| (1..=1 << 20).contains(&number));
    if valid {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "memory size '{size}' is not a number with M or G behind it, such as 512M or 2G"
    )))
}

impl Machine {
    /// QEMU's arguments for the machine, without what it boots.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let cores = self.cores.to_string();
        let machine = match self.board.machine {
            "virt" => format!("virt,gic-version={}", self.gic),
            other => other.to_string(),
        };
        let mut arguments: Vec<String> = [
            "-M",
            &machine,
            "-cpu",
            &self.cpu,
            "-smp",
            &cores,
            "-m",
            &self.memory,
        ]
        .map(String::from)
        .into();
        // Semihosting is how a run ends with a status; `userspace` lets a root task do it.
        arguments.extend(
            [
                "-display",
                "none",
                "-serial",
                "stdio",
                "-monitor",
                "none",
                "-no-reboot",
                // No network card: its firmware is in a package that nothing here needs.
                "-nic",
                "none",
                "-semihosting-config",
                "enable=on,userspace=on,target=native",
            ]
            .map(String::from),
        );
        if self.icount {
            // The setting whose runs repeat to the instruction, also with several cores.
            arguments.extend(["-icount", "shift=0,sleep=off"].map(String::from));
        }
        arguments
    }

    /// QEMU's arguments to write the machine's device tree into a file and end. The tree is the same every time.
    pub(crate) fn dump_arguments(&self, file: &Path) -> Vec<String> {
        let mut arguments = self.arguments();
        // A comma in a file name is doubled for QEMU.
        let file = file.display().to_string().replace(',', ",,");
        arguments[1] += &format!(",dtb-randomness=off,dumpdtb={file}");
        arguments
    }

    /// Bytes of memory.
    pub(crate) fn memory_size(&self) -> u64 {
        let (digits, unit) = self.memory.split_at(self.memory.len() - 1);
        digits.parse::<u64>().unwrap_or(0) << if unit == "G" { 30 } else { 20 }
    }

    /// One line for a person.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{}, {} x {}, GICv{}, {}{}",
            self.board.name,
            self.cores,
            self.cpu,
            self.gic,
            self.memory,
            if self.icount { ", icount" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(change: impl FnOnce(&mut Wanted)) -> Result<Machine> {
        let mut wanted = Wanted::default();
        change(&mut wanted);
        default_board().machine(&wanted)
    }

    fn refusal(change: impl FnOnce(&mut Wanted)) -> String {
        ask(change).unwrap_err().message
    }

    #[test]
    fn defaults_make_a_machine() {
        let line = ask(|_| ()).unwrap().arguments().join(" ");
        assert!(
            line.starts_with("-M virt,gic-version=2 -cpu cortex-a72 -smp 4 -m 1G "),
            "{line}"
        );
        assert!(!line.contains("icount"));
        let line = ask(|wanted| wanted.icount = true)
            .unwrap()
            .arguments()
            .join(" ");
        assert!(line.ends_with("-icount shift=0,sleep=off"));
    }

    #[test]
    fn wishes_are_checked() {
        assert!(refusal(|w| w.gic = Some(4)).contains("choose one of: 2, 3"));
        assert!(refusal(|w| w.cores = Some(0)).contains("1 to 8"));
        assert!(refusal(|w| w.cores = Some(9)).contains("--gic 3 allows more"));
        assert!(!refusal(|w| w.cores = Some(1000)).contains("--gic"));
        assert!(refusal(|w| w.cpu = Some("cortex-a15".into())).contains("cortex-a53"));
        assert!(refusal(|w| w.memory = Some("512".into())).contains("512M"));
        assert!(refusal(|w| w.memory = Some("0G".into())).contains("0G"));
        assert!(refusal(|w| w.memory = Some("1MG".into())).contains("1MG"));
        let fine = ask(|w| {
            w.cores = Some(16);
            w.gic = Some(3);
            w.cpu = Some("max,sve=off".into());
            w.memory = Some("512M".into());
        });
        let fine = fine.unwrap();
        assert!(fine.describe().contains("16 x max,sve=off, GICv3"));
        assert_eq!(fine.memory_size(), 512 << 20);
        assert_eq!(
            fine.dump_arguments(Path::new("a,b"))[1],
            "virt,gic-version=3,dtb-randomness=off,dumpdtb=a,,b"
        );
    }

    #[test]
    fn boards_are_found_by_name() {
        assert_eq!(board("virt").unwrap().name, "virt");
        assert!(
            board("rpi4")
                .unwrap_err()
                .message
                .contains("not supported yet; supported: virt")
        );
        assert!(board("pi").unwrap_err().message.contains("virt, rpi4"));
    }
}
