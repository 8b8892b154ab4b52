//! Pairs the assignment's lines with the lines that were seen.

use super::token;

/// Lines that have less in common are no pair.
const PAIR: f64 = 0.5;

/// A line that was asked for, a line that was seen, or both.
pub type Pair = (Option<usize>, Option<usize>);

/// The best pairs of two lists of lines, in order: equal lines first, then lines that
/// have much in common.
pub fn align(asked: &[String], seen: &[String]) -> Vec<Pair> {
    let worth: Vec<Vec<f64>> =
        asked.iter().map(|asked| seen.iter().map(|seen| worth(asked, seen)).collect()).collect();
    let mut best = vec![vec![0.0_f64; seen.len() + 1]; asked.len() + 1];
    for one in (0..asked.len()).rev() {
        for other in (0..seen.len()).rev() {
            let paired = worth[one][other] + best[one + 1][other + 1];
            best[one][other] = best[one + 1][other].max(best[one][other + 1]).max(paired);
        }
    }
    let (mut one, mut other, mut pairs) = (0, 0, Vec::new());
    while one < asked.len() || other < seen.len() {
        let here = best[one][other];
        let is_pair = one < asked.len()
            && other < seen.len()
            && worth[one][other] > 0.0
            && (worth[one][other] + best[one + 1][other + 1] - here).abs() < 1e-9;
        if is_pair {
            pairs.push((Some(one), Some(other)));
            one += 1;
            other += 1;
        } else if one < asked.len() && (other == seen.len() || (best[one + 1][other] - here).abs() < 1e-9) {
            pairs.push((Some(one), None));
            one += 1;
        } else {
            pairs.push((None, Some(other)));
            other += 1;
        }
    }
    pairs
}

/// How good a pair is. A pair of equal lines is better than any two pairs of similar lines.
fn worth(asked: &str, seen: &str) -> f64 {
    if token::same(asked, seen) {
        return 2.0;
    }
    let likeness = token::likeness(asked, seen);
    if likeness >= PAIR { likeness } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::align;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_line_in_addition_and_a_missing_one_stand_alone() {
        let pairs = align(&lines(&["a", "b", "c d e"]), &lines(&["a", "x", "c d f"]));
        assert_eq!(pairs, [(Some(0), Some(0)), (Some(1), None), (None, Some(1)), (Some(2), Some(2))]);
        assert_eq!(align(&[], &lines(&["x"])), [(None, Some(0))]);
    }
}
