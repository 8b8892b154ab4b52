//! A control group's CPU limit and use (cgroups(7)).

use serde::{Deserialize, Serialize};

/// One group's CPU limit and use, as its files say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The path from the hierarchy's root, such as `/container`.
    pub path: String,
    /// The content of `cpu.max`: `max 100000`, `50000 100000`. `None`: no such file, so this
    /// group has no limit of its own (the root, or a group whose parent does not hand the
    /// cpu controller down).
    pub cpu_max: Option<String>,
    /// `nr_throttled` of `cpu.stat`: periods in which the kernel stopped the group.
    pub nr_throttled: u64,
    /// `throttled_usec` of `cpu.stat`.
    pub throttled_usec: u64,
    /// `usage_usec` of `cpu.stat`.
    pub usage_usec: u64,
}

/// The share of one core that a `cpu.max` allows; `None` when it sets no limit.
pub fn cores(cpu_max: &str) -> Option<f64> {
    let mut words = cpu_max.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next().map_or(Some(100_000.0), |word| word.parse().ok())?;
    (period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::cores;

    #[test]
    fn a_quota_is_a_share_of_one_core_whatever_its_period() {
        assert_eq!(cores("50000 100000"), Some(0.5));
        assert_eq!(cores("500000 1000000"), Some(0.5));
        assert_eq!(cores("50000"), Some(0.5));
        assert_eq!(cores("200000 100000"), Some(2.0));
        assert_eq!(cores("max 100000"), None);
        assert_eq!(cores(""), None);
    }
}
