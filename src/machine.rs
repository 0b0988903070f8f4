//! What the machine does while something is measured: the counters of `/proc`, of everything that runs on it.
//!
//! A figure that was measured while the hypervisor gave the processors to somebody else is not a figure of the database. What
//! is read here says when that was. Who decides what is too much is [`crate::analysis`].

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use procfs_core::{
    CpuPressure, ExplicitSystemInfo, FromRead, FromReadSI, IoPressure, KernelStats, MemoryPressure, VmStat,
    process::{Io, StatM},
};

/// Reads the counters of a machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where its files are: `/proc`.
    proc: PathBuf,
}

/// What the counters said at one time; `None` for what this kernel does not tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Of all processors together.
    pub processors: Option<ProcessorTimes>,
    /// For how long some task has waited for a processor, in microseconds since the start of the machine.
    pub processor_pressure_us: Option<u64>,
    /// The same for a block device.
    pub io_pressure_us: Option<u64>,
    /// The same for memory.
    pub memory_pressure_us: Option<u64>,
    /// Page faults that read from a block device, since the start of the machine.
    pub page_faults: Option<u64>,
    /// Bytes read from block devices, since the start of the machine.
    pub read_bytes: Option<u64>,
    /// Bytes written to block devices, since the start of the machine.
    pub written_bytes: Option<u64>,
    /// Memory that is to be written to a block device.
    pub dirty_bytes: Option<u64>,
    /// Memory that is being written to one.
    pub writeback_bytes: Option<u64>,
    /// Memory that this process has.
    pub resident_bytes: Option<u64>,
    /// Bytes that this process had read from block devices, since it began.
    pub process_read_bytes: Option<u64>,
    /// Bytes that this process has had written to block devices, since it began, or that are to be written for it.
    pub process_written_bytes: Option<u64>,
}

/// What the processors have spent their time with since the start of the machine, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessorTimes {
    /// Programs.
    pub user: u64,
    /// The kernel, interrupts among it.
    pub system: u64,
    /// Nothing, or waiting for a block device.
    pub idle: u64,
    /// Somebody else: the hypervisor ran another machine.
    pub steal: u64,
}

impl ProcessorTimes {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.user + self.system + self.idle + self.steal
    }
}

impl Default for Machine {
    /// This one.
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc") }
    }
}

impl Machine {
    /// One whose files are in another folder than `/proc`.
    #[must_use]
    pub fn of(proc: &Path) -> Self {
        Self { proc: proc.to_owned() }
    }

    /// Reads all counters. It takes some hundred microseconds.
    #[must_use]
    pub fn read(&self) -> Reading {
        let page_bytes = rustix::param::page_size() as u64;
        let memory = VmStat::from_file(self.proc.join("vmstat")).ok();
        let count = |name: &str| u64::try_from(*memory.as_ref()?.0.get(name)?).ok();
        let resident_pages = StatM::from_file(self.proc.join("self/statm")).ok().map(|memory| memory.resident);
        let process = Io::from_file(self.proc.join("self/io")).ok();
        let pressure = |name: &str| self.proc.join("pressure").join(name);
        Reading {
            at: Instant::now(),
            processors: self.processors(),
            processor_pressure_us: CpuPressure::from_file(pressure("cpu")).ok().map(|pressure| pressure.some.total),
            io_pressure_us: IoPressure::from_file(pressure("io")).ok().map(|pressure| pressure.some.total),
            memory_pressure_us: MemoryPressure::from_file(pressure("memory")).ok().map(|pressure| pressure.some.total),
            page_faults: count("pgmajfault"),
            // These two count in KiB.
            read_bytes: count("pgpgin").map(|kib| kib * 1024),
            written_bytes: count("pgpgout").map(|kib| kib * 1024),
            dirty_bytes: count("nr_dirty").map(|pages| pages * page_bytes),
            writeback_bytes: count("nr_writeback").map(|pages| pages * page_bytes),
            resident_bytes: resident_pages.map(|pages| pages * page_bytes),
            process_read_bytes: process.map(|io| io.read_bytes),
            // What was cut off or deleted before it was written never will be.
            process_written_bytes: process.map(|io| io.write_bytes.saturating_sub(io.cancelled_write_bytes)),
        }
    }

    fn processors(&self) -> Option<ProcessorTimes> {
        // Ticks are counted as they are, and nothing else of this is looked at.
        let system =
            ExplicitSystemInfo { boot_time_secs: 0, ticks_per_second: 100, page_size: 4096, is_little_endian: true };
        let all = KernelStats::from_file(self.proc.join("stat"), &system).ok()?.total;
        let or_none = |ticks: Option<u64>| ticks.unwrap_or_default();
        Some(ProcessorTimes {
            // What virtual machines of its own get is a part of the user's time.
            user: all.user + all.nice,
            system: all.system + or_none(all.irq) + or_none(all.softirq),
            idle: all.idle + or_none(all.iowait),
            steal: or_none(all.steal),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn this_machine_tells_of_itself() {
        let reading = Machine::default().read();
        assert!(reading.processors.is_some_and(|times| times.user > 0 && times.idle > 0), "{reading:?}");
        assert!(reading.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{reading:?}");
        assert!(reading.read_bytes.is_some() && reading.dirty_bytes.is_some(), "{reading:?}");
    }

    #[test]
    fn what_the_files_say_is_read_and_what_is_missing_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let machine = Machine::of(folder.path());
        let nothing = machine.read();
        assert_eq!((nothing.processors, nothing.io_pressure_us, nothing.resident_bytes), (None, None, None));
        write("stat", "cpu  100 20 30 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nctxt 1\nbtime 2\nprocesses 3\n");
        write("vmstat", "nr_dirty 3\nnr_writeback 2\npgpgin 7\npgpgout 5\npgmajfault 11\n");
        let line = |kind, total| format!("{kind} avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n");
        for (name, total) in [("cpu", 17), ("io", 18), ("memory", 19)] {
            write(&format!("pressure/{name}"), &(line("some", total) + &line("full", 1)));
        }
        write("self/statm", "9 4 3 2 1 0 0\n");
        write(
            "self/io",
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 16\ncancelled_write_bytes: 7\n",
        );
        let reading = machine.read();
        assert_eq!(reading.processors, Some(ProcessorTimes { user: 120, system: 43, idle: 450, steal: 8 }));
        let pressure = (reading.processor_pressure_us, reading.io_pressure_us, reading.memory_pressure_us);
        assert_eq!(pressure, (Some(17), Some(18), Some(19)));
        assert_eq!((reading.read_bytes, reading.written_bytes), (Some(7 * 1024), Some(5 * 1024)));
        let page_bytes = rustix::param::page_size() as u64;
        assert_eq!((reading.dirty_bytes, reading.writeback_bytes), (Some(3 * page_bytes), Some(2 * page_bytes)));
        assert_eq!((reading.resident_bytes, reading.page_faults), (Some(4 * page_bytes), Some(11)));
        assert_eq!((reading.process_read_bytes, reading.process_written_bytes), (Some(5), Some(9)));
    }
}
