//! A message of a shell or a compiler about a file.

/// What one line of a terminal says about a file.
pub struct Message {
    /// As the program named it.
    pub file: String,
    /// Counted from 1.
    pub line: Option<u32>,
    /// What is wrong there.
    pub text: String,
    /// A shell said so, not a compiler.
    pub is_shell: bool,
    /// The text shows that lines end with a carriage return.
    pub is_windows: bool,
    /// How many lines of the terminal belong to it.
    pub lines: usize,
}

impl Message {
    /// The program that found it and what it found, to begin a sentence with.
    pub fn who(&self) -> &'static str {
        if self.is_shell { "The shell stops reading" } else { "The compiler stops" }
    }
}
