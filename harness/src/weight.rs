//! Computes an upper bound for the memory of a JSON text, before it is parsed.
//!
//! A small text from a guest can need much memory. As a [`serde_json::Value`], `[0,0,0…]` takes
//! sixteen times its length, and `[{"":0},{"":0}…]` a hundred times. So the host limits the
//! *weight* of records, which is this bound.

use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes that a text takes when parsed as a [`serde_json::Value`]. The constants were
/// measured: a list has capacity for at least four values and doubles it; an object has capacity
/// for eleven entries.
pub fn of(text: &[u8]) -> u64 {
    let mut weight = 64 + text.len() as u64;
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        weight += match byte {
            b'"' => {
                quoted = true;
                32
            }
            b',' => 64,
            b':' => 80,
            b'[' => 160,
            b'{' => 700,
            _ => 0,
        };
    }
    weight
}

/// A number of bytes that several recordings share.
#[derive(Debug)]
pub struct Budget(AtomicU64);

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// Takes `bytes` from the budget. Returns false if less is left.
    pub fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Returns `bytes` to the budget.
    pub fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The memory of a value, computed from the capacities of its containers.
    fn size(value: &Value) -> u64 {
        let own = size_of::<Value>() as u64;
        own + match value {
            Value::String(text) => text.capacity() as u64,
            Value::Array(list) => {
                let spare = (list.capacity() - list.len()) as u64 * own;
                spare + list.iter().map(size).sum::<u64>()
            }
            // A B-tree node has capacity for eleven entries and holds at least five, except the
            // root.
            Value::Object(map) => {
                let entry = own + size_of::<String>() as u64;
                let nodes = (map.len() as u64).div_ceil(5);
                nodes * (11 * entry + 128)
                    + map.iter().map(|(name, value)| name.len() as u64 + size(value)).sum::<u64>()
            }
            _ => 0,
        }
    }

    #[test]
    fn no_value_is_larger_than_its_weight() {
        let pieces = [
            "0",
            "\"\"",
            "[]",
            "{}",
            "[0]",
            "{\"\":0}",
            "[[[[0]]]]",
            "{\"a\":1,\"b\":\"two\",\"c\":[]}",
            "\"[{,:\\\"[{\"",
        ];
        for piece in pieces {
            for times in [1, 2, 3, 5, 9, 1000] {
                let text = format!("[{}]", vec![piece; times].join(","));
                let value: Value = serde_json::from_str(&text).unwrap();
                let (size, weight) = (size(&value), of(text.as_bytes()));
                assert!(size <= weight, "{times} times {piece}: {size} bytes, weight {weight}");
            }
        }
        let fields: Vec<_> = (0..1000).map(|number| format!("\"{number}\":0")).collect();
        let text = format!("{{{}}}", fields.join(","));
        assert!(size(&serde_json::from_str(&text).unwrap()) <= of(text.as_bytes()));
        assert!(of(b"\"[[[[{{{{,,,,\"") < 128, "punctuation in a string adds no weight");
    }

    #[test]
    fn a_budget_refuses_more_than_is_left() {
        let budget = Budget::new(10);
        assert!(budget.take(6) && !budget.take(5) && budget.take(4));
        budget.give_back(1);
        assert!(budget.take(1) && !budget.take(1));
    }
}
