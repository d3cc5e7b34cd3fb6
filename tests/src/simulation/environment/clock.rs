//! A node's clocks: one that only goes forward, at its own rate, and the wall clock,
//! which may be set.

use std::time::Duration;

use crate::random::MILLION;

/// The clocks of one machine. They go on while its processes are down or paused.
#[derive(Clone, Debug)]
pub struct Clock {
    /// How fast it goes: so many millionths of the true rate.
    rate: u32,
    /// True time and the clock's time when the rate was set last.
    anchor: (Duration, Duration),
    /// What the wall clock is ahead of the monotonic one, in milliseconds since 1970.
    wall_ms: u64,
    /// How far it has jumped since somebody last asked.
    jumped: Duration,
}

/// Some day in 2027, in milliseconds since 1970: the wall clock when a simulation starts.
const EPOCH_MS: u64 = 1_800_000_000_000;

impl Clock {
    /// A clock that starts with the simulation and goes right.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rate: MILLION,
            anchor: (Duration::ZERO, Duration::ZERO),
            wall_ms: EPOCH_MS,
            jumped: Duration::ZERO,
        }
    }

    /// What the monotonic clock says at a true time.
    #[must_use]
    pub fn read(&self, now: Duration) -> Duration {
        let (truly, locally) = self.anchor;
        let passed = now.saturating_sub(truly);
        if self.rate == MILLION {
            return locally + passed;
        }
        let scaled = passed.as_nanos() * u128::from(self.rate) / u128::from(MILLION);
        locally
            + Duration::from_nanos(
                u64::try_from(scaled).expect("simulated times are below 500 years"),
            )
    }

    /// How long a wait by this clock truly is: rounded up, since a timer never fires
    /// early.
    #[must_use]
    pub fn true_wait(&self, wait: Duration) -> Duration {
        if self.rate == MILLION {
            return wait;
        }
        let scaled = (wait.as_nanos() * u128::from(MILLION)).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(scaled).expect("simulated times are below 500 years"))
    }

    /// When a wait truly ends that was to end at a true time by the clock as it was
    /// `before` it was changed.
    #[must_use]
    pub fn retimed(&self, before: &Self, now: Duration, at: Duration) -> Duration {
        let left = before.read(at).saturating_sub(self.read(now));
        now + self.true_wait(left)
    }

    /// What the wall clock says at a true time, in milliseconds since 1970.
    #[must_use]
    pub fn wall_ms(&self, now: Duration) -> u64 {
        self.wall_ms
            + u64::try_from(self.read(now).as_millis())
                .expect("simulations end before the year 500 million")
    }

    /// Lets it drift from now on: so many millionths of the true rate.
    pub fn set_rate(&mut self, now: Duration, rate: u32) {
        self.anchor = (now, self.read(now));
        self.rate = rate;
    }

    /// The monotonic clock jumps forward, as over the suspension of a virtual machine.
    pub fn jump(&mut self, now: Duration, by: Duration) {
        self.anchor = (now, self.read(now) + by);
        self.jumped += by;
    }

    /// Whether it goes wrong by more than a tenth.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.rate.abs_diff(MILLION) > MILLION / 10
    }

    /// How far it has jumped since this was last asked.
    pub fn take_jump(&mut self) -> Duration {
        std::mem::take(&mut self.jumped)
    }

    /// The wall clock is set, forward or back.
    pub fn set_wall(&mut self, by_ms: i64) {
        self.wall_ms = self.wall_ms.saturating_add_signed(by_ms);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_drifts_and_jumps_but_never_goes_back() {
        let (mut clock, sec) = (Clock::new(), Duration::from_secs);
        assert_eq!(clock.read(sec(10)), sec(10));
        clock.set_rate(sec(10), 500_000);
        assert_eq!(clock.read(sec(20)), sec(15));
        assert_eq!(clock.true_wait(sec(1)), sec(2));
        clock.set_rate(sec(20), 700_001);
        for wait in (1..2_000).map(Duration::from_nanos) {
            let (now, before) = (sec(20) + wait, clock.read(sec(20) + wait));
            assert!(
                clock.read(now + clock.true_wait(wait)) >= before + wait,
                "a timer of {wait:?} fired early"
            );
        }
        clock.jump(sec(20), sec(100));
        assert_eq!(clock.read(sec(20)), sec(115));
        let before = clock.wall_ms(sec(20));
        clock.set_wall(-60_000);
        assert_eq!(clock.wall_ms(sec(20)), before - 60_000);
    }

    #[test]
    fn a_wait_under_way_ends_when_the_changed_clock_says_so() {
        let (mut clock, sec) = (Clock::new(), Duration::from_secs);
        let mut changed = |now, change: &dyn Fn(&mut Clock), at| {
            let before = clock.clone();
            change(&mut clock);
            clock.retimed(&before, now, at)
        };
        // It was to wait for 10 s: 6 of them at half the rate.
        assert_eq!(changed(sec(4), &|clock| clock.set_rate(sec(4), 500_000), sec(10)), sec(16));
        // 2 s later 5 are left, of which the clock jumps over 3.
        assert_eq!(changed(sec(6), &|clock| clock.jump(sec(6), sec(3)), sec(16)), sec(10));
        assert_eq!(
            changed(sec(6), &|clock| clock.jump(sec(6), sec(3)), sec(10)),
            sec(6),
            "what was jumped over is due"
        );
    }

    #[test]
    fn a_wait_that_is_retimed_again_and_again_never_ends_early_and_hardly_late() {
        let (mut clock, ns) = (Clock::new(), Duration::from_nanos);
        let wanted = ns(1_000_003);
        let mut at = wanted;
        for (change, rate) in
            [700_001, 1_999_999, 500_003, 1_000_000, 1_300_007].into_iter().enumerate()
        {
            let (now, before) = (ns(change as u64 * 10_007), clock.clone());
            clock.set_rate(now, rate);
            at = clock.retimed(&before, now, at);
            let read = clock.read(at);
            assert!(
                read >= wanted && read < wanted + ns(20),
                "due at {wanted:?}, and the clock says {read:?}"
            );
        }
    }
}
