//! `cargo xtask bench --scaling`: what cores that work at once do to each other. The program is
//! `kernel/tests/bench/src/bin/scaling`.

/// The program's name.
pub(crate) const ROOT: &str = "scaling";
/// What each core does, as the program names it.
pub(crate) const LOADS: [&str; 2] = ["call", "mixed"];
/// How many cores do it at once.
pub(crate) const AT_ONCE: [u32; 4] = [1, 2, 4, 8];

/// The lines of the program on a kernel that counts, on a machine with so many cores, if no core ever waited for another
/// one, rang it, or took all locks.
pub(crate) fn nothing_shared(cores: u32) -> Vec<String> {
    let at_once = AT_ONCE.into_iter().filter(|&count| count <= cores);
    LOADS
        .iter()
        .flat_map(|load| {
            let at_once = at_once.clone();
            at_once.map(move |count| format!("count scale_{load}_{count} 0 0 0 "))
        })
        .collect()
}
