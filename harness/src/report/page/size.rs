//! How many bytes a part of the page may still take. The whole stays below its largest size.

use super::MAX_BYTES;

/// What the head, the style, the script and the shortest form of all texts take at most.
const FRAME: usize = 560 << 10;

/// The bytes that are left.
#[derive(Debug)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// The budget of a whole page.
    pub fn new() -> Self {
        Self { left: MAX_BYTES - FRAME }
    }

    /// The part, if it fits.
    pub fn admit(&mut self, part: String) -> Option<String> {
        self.take(part.len()).then_some(part)
    }

    /// Takes so many bytes, if they are left.
    pub fn take(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Whether hardly anything fits any more, so that a part need not be made.
    pub fn is_full(&self) -> bool {
        self.left < 1 << 10
    }

    /// A part of the budget, at most so large. [`give_back`](Self::give_back) takes the rest back.
    pub fn share(&mut self, most: usize) -> Self {
        let share = self.left.min(most);
        self.left -= share;
        Self { left: share }
    }

    /// Takes back what a share did not use.
    pub fn give_back(&mut self, share: &Self) {
        self.left += share.left;
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_does_not_fit_is_left_out_and_what_comes_later_may_fit() {
        let mut budget = Budget { left: 10 };
        let mut share = budget.share(4);
        assert_eq!(share.admit("12345".into()), None);
        assert_eq!(share.admit("123".into()), Some("123".into()));
        budget.give_back(&share);
        assert_eq!(budget.admit("1234567".into()), Some("1234567".into()));
        assert_eq!(budget.admit("1".into()), None);
    }
}
