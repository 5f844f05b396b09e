//! What the system says about a process that runs: since when, how much memory, how many open files.

use std::path::Path;

/// When it started, in ticks since the system did: another number is another process.
pub fn started(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name is in brackets and may hold anything; 19 fields stand between it and the moment.
    let after = stat.rsplit_once(')').map(|(_, after)| after).unwrap_or_default();
    after.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).expect("the process runs")
}

/// How much memory it holds, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    in_status(pid, "VmRSS:")
}

/// The most memory that it ever held, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    in_status(pid, "VmHWM:")
}

/// How many files and sockets it has open.
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).expect("the process runs").count()
}

fn in_status(pid: u32, member: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(member)).expect("the process runs");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
