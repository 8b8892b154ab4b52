//! What passed between the machine and the world, kept until the scenario records it as evidence.

use std::sync::Mutex;
use std::time::Instant;

pub use crate::evidence::world::{Moment, Passed, RECORD};

/// More than this between two calls of [`super::World::record`] is counted, not kept: a flood must
/// not fill the evidence.
const KEPT: usize = 4096;
/// Names and paths are cut here.
const TEXT: usize = 300;

/// Collects [`Moment`]s from the world's tasks.
pub(super) struct Traffic {
    started: Instant,
    moments: Mutex<(Vec<Moment>, u64)>,
}

impl Traffic {
    pub fn new() -> Self {
        Self { started: Instant::now(), moments: Mutex::new((Vec::new(), 0)) }
    }

    pub fn note(&self, passed: Passed) {
        let ms = self.started.elapsed().as_millis() as u64;
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if moments.0.len() < KEPT {
            moments.0.push(Moment { ms, passed });
        } else {
            moments.1 += 1;
        }
    }

    /// Everything since the last call.
    pub fn take(&self) -> Vec<Moment> {
        let (mut moments, dropped) = {
            let mut kept = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *kept)
        };
        if dropped > 0 {
            let ms = self.started.elapsed().as_millis() as u64;
            moments.push(Moment { ms, passed: Passed::Dropped { count: dropped } });
        }
        moments
    }
}

/// Text from the machine, cut to what evidence has room for.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let traffic = Traffic::new();
        for _ in 0..KEPT + 5 {
            traffic.note(Passed::Dropped { count: 0 });
        }
        let moments = traffic.take();
        assert_eq!(moments.len(), KEPT + 1);
        assert_eq!(moments[KEPT].passed, Passed::Dropped { count: 5 });
        assert!(traffic.take().is_empty());
    }
}
