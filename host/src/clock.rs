//! The two clocks of a host: the boot clock, which also counts sleep, and the wall clock.
//!
//! Lifetimes end by whichever clock says so first (T27); what they mean is left to `permit`.

use std::time::{SystemTime, UNIX_EPOCH};

use policy::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Where a host reads the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since boot, sleep included (CLOCK_BOOTTIME).
    fn boot_ms(&self) -> u64;
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> u64;

    /// The wall clock in whole seconds.
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms())
    }

    /// Both clocks at once.
    fn moment(&self) -> Moment {
        Moment { boot_ms: self.boot_ms(), wall_ms: self.wall_ms() }
    }
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since boot, sleep included.
    pub boot_ms: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

impl Moment {
    /// How long ago it was, by whichever clock went further.
    pub fn elapsed_ms(self, now: Self) -> u64 {
        let boot = now.boot_ms.saturating_sub(self.boot_ms);
        boot.max(now.wall_ms.saturating_sub(self.wall_ms))
    }
}

/// The clocks of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot_ms(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
        seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
    }

    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_went_further_counts() {
        let then = Moment { boot_ms: 100, wall_ms: 1_000 };
        assert_eq!(then.elapsed_ms(Moment { boot_ms: 150, wall_ms: 1_010 }), 50);
        assert_eq!(then.elapsed_ms(Moment { boot_ms: 110, wall_ms: 1_900 }), 900);
        // A wall clock that was set back never makes anything younger than the boot clock says.
        assert_eq!(then.elapsed_ms(Moment { boot_ms: 400, wall_ms: 0 }), 300);
    }
}
