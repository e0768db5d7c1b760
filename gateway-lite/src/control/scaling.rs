//! How many replicas are wanted after something happened: pure.

use std::time::Duration;

use crate::function::Policy;

/// How busy a function is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// How long no call has begun.
    pub(super) idle: Duration,
    /// Calls under way, those that wait for a replica included.
    pub(super) under_way: usize,
}

/// All replicas go when no call began for as long as the policy says and none is under way.
pub(super) fn decide(policy: &Policy, desired: u32, load: Load) -> u32 {
    match policy.idle {
        Some(idle) if load.idle >= idle && load.under_way == 0 => 0,
        _ => desired,
    }
}

/// An alert adds `factor` percent of the most, rounded up; its end brings the fewest back. A
/// factor of 0 turns alerts off; an alert that ends wakes nobody who sleeps.
pub(super) fn after_alert(policy: &Policy, desired: u32, firing: bool) -> u32 {
    if policy.factor == 0 {
        return desired;
    }
    if !firing {
        return if desired == 0 { 0 } else { policy.min.max(1) };
    }
    let step = (u64::from(policy.max) * u64::from(policy.factor)).div_ceil(100);
    u64::from(desired)
        .saturating_add(step)
        .min(u64::from(policy.max))
        .try_into()
        .unwrap_or(policy.max)
}

/// What is wanted of a version with another policy, given what was wanted of the one before.
pub(super) fn after_update(policy: &Policy, desired: u32) -> u32 {
    if desired == 0 { 0 } else { desired.clamp(policy.min, policy.max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(min: u32, max: u32, factor: u32) -> Policy {
        Policy { min, max, factor, ..Policy::default() }
    }

    #[test]
    fn idle_functions_sleep_if_they_may() {
        let sleepy = Policy { idle: Some(Duration::from_secs(5)), ..Policy::default() };
        let load = |idle, under_way| Load { idle: Duration::from_secs(idle), under_way };
        assert_eq!(decide(&sleepy, 3, load(5, 0)), 0);
        assert_eq!(decide(&sleepy, 3, load(4, 0)), 3);
        assert_eq!(decide(&sleepy, 3, load(500, 1)), 3);
        assert_eq!(decide(&Policy::default(), 3, load(500, 0)), 3);
    }

    #[test]
    fn alert_adds_a_share_of_the_most() {
        assert_eq!(after_alert(&policy(1, 20, 10), 1, true), 3);
        assert_eq!(after_alert(&policy(1, 5, 10), 1, true), 2);
        assert_eq!(after_alert(&policy(1, 5, 100), 1, true), 5);
        assert_eq!(after_alert(&policy(1, 5, 10), 5, true), 5);
        assert_eq!(after_alert(&policy(1, 5, 10), 0, true), 1);
        assert_eq!(after_alert(&policy(2, 5, 10), 5, false), 2);
        assert_eq!(after_alert(&policy(0, 5, 10), 5, false), 1);
        assert_eq!(after_alert(&policy(2, 5, 10), 0, false), 0);
        assert_eq!(after_alert(&policy(1, 5, 0), 3, true), 3);
        assert_eq!(after_alert(&policy(1, 5, 0), 3, false), 3);
    }

    #[test]
    fn update_keeps_what_is_wanted_within_its_bounds() {
        assert_eq!(after_update(&policy(2, 4, 10), 1), 2);
        assert_eq!(after_update(&policy(2, 4, 10), 9), 4);
        assert_eq!(after_update(&policy(2, 4, 10), 0), 0);
    }
}
