//! Joins continued lines, skips comments and splits words. Every byte of an instruction keeps its
//! position in the file.

/// A mistake at a byte of a statement's text.
pub(super) struct Problem {
    pub at: usize,
    pub what: String,
}

impl Problem {
    pub fn new(at: usize, what: &str) -> Self {
        Self { at, what: what.into() }
    }
}

/// An instruction with its continuation lines joined.
pub(super) struct Statement {
    pub text: String,
    /// The origin of each joined line: its first byte in `text`, its line in the file, and its
    /// first character there.
    pieces: Vec<(usize, usize, usize)>,
    /// Whether its last line ends in a backslash.
    pub unfinished: bool,
}

impl Statement {
    /// The line and character, from 0, of the byte `at` in the joined text.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let (start, line, column) =
            self.pieces.iter().rev().find(|(start, ..)| *start <= at).copied().unwrap_or_default();
        (line, column + self.text[start..at].chars().count())
    }

    /// The end of the text without trailing spaces.
    pub fn end(&self) -> usize {
        self.text.trim_end().len()
    }

    /// The keyword, and the byte where the arguments begin.
    pub fn split(&self) -> (&str, usize) {
        let len = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        let rest = &self.text[len..];
        (&self.text[..len], len + rest.len() - rest.trim_start().len())
    }
}

/// Joins continued lines, and skips comments and blank lines.
pub(super) fn statements(lines: &[&str]) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut open: Option<Statement> = None;
    for (number, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let statement =
            open.get_or_insert(Statement { text: String::new(), pieces: Vec::new(), unfinished: true });
        // The first line loses its indentation. Later lines keep it, because it may be inside
        // quotes.
        let piece = if statement.pieces.is_empty() { trimmed } else { line };
        let skipped = line[..line.len() - piece.len()].chars().count();
        statement.pieces.push((statement.text.len(), number, skipped));
        let continued = piece.trim_end().strip_suffix('\\');
        statement.text.push_str(continued.unwrap_or(piece));
        statement.unfinished = continued.is_some();
        if !statement.unfinished {
            statements.extend(open.take());
        }
    }
    statements.extend(open);
    statements
}

/// Splits the arguments into words. Each comes with the byte where it begins.
pub(super) fn words(statement: &Statement, arguments: usize) -> Result<Vec<(usize, String)>, Problem> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut in_word = false;
    let mut quote: Option<(usize, char)> = None;
    let mut characters = statement.text.char_indices().skip_while(|(at, _)| *at < arguments);
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            in_word = false;
            continue;
        }
        if !in_word {
            words.push((at, String::new()));
            in_word = true;
        }
        let Some((_, word)) = words.last_mut() else { continue };
        match (quote, character) {
            (Some((_, mark)), _) if character == mark => quote = None,
            (None, '"' | '\'') => quote = Some((at, character)),
            (None | Some((_, '"')), '\\') => match characters.next() {
                Some((_, escaped)) => word.push(escaped),
                None => word.push('\\'),
            },
            _ => word.push(character),
        }
    }
    match quote {
        Some((at, mark)) => Err(Problem { at, what: format!("the closing {mark} is missing") }),
        None => Ok(words),
    }
}
