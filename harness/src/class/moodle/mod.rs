//! What Moodle takes back: its offline grading worksheet with the grades filled in, and a
//! zip of feedback files.

mod cells;
pub mod fill;
pub mod worksheet;
