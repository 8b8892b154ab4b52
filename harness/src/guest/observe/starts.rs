//! How often known work may start. A long series of short known programs is a loop of the
//! submission's own, and no progress.

use std::collections::HashMap;
use std::mem::discriminant;

/// Known work. Equal work is the same work once more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Packages, by a program and its arguments.
    Installs(Vec<String>),
    /// A compiler at one of the course's files.
    Compiles(usize),
    /// `container_prog`, with this argument.
    Computes(String),
}

impl Job {
    /// So many of its starts count. Honest scripts update apt's lists once for each image, and try
    /// again after a failure; they call `container_prog` once for each argument.
    fn most(&self) -> usize {
        match self {
            Self::Installs(_) => 6,
            Self::Compiles(_) => 4,
            Self::Computes(_) => 3,
        }
    }

    /// So many starts of this kind of work count in all, whatever the arguments are. Two images, a
    /// base and the tries after a failure stay far below.
    fn most_of_its_kind(&self) -> usize {
        match self {
            Self::Installs(_) => 100,
            Self::Compiles(_) => 16,
            Self::Computes(_) => 12,
        }
    }
}

/// The starts that were seen and count, by PID and start time.
#[derive(Debug, Default)]
pub struct Starts(HashMap<Job, Vec<(i32, u64)>>);

impl Starts {
    /// Whether this worker is one of those whose start counts. One that does counts for as long as
    /// it works.
    pub fn counts(&mut self, job: &Job, worker: (i32, u64)) -> bool {
        let is_alike = |other: &Job| discriminant(other) == discriminant(job);
        let alike: usize =
            self.0.iter().filter(|(other, _)| is_alike(other)).map(|(_, seen)| seen.len()).sum();
        let seen = self.0.entry(job.clone()).or_default();
        if !seen.contains(&worker) && seen.len() < job.most() && alike < job.most_of_its_kind() {
            seen.push(worker);
        }
        seen.contains(&worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a hundred workers count that start one after another.
    fn counted(job: impl Fn(u64) -> Job) -> usize {
        let mut starts = Starts::default();
        (0..100).filter(|time| starts.counts(&job(*time), (7, *time))).count()
    }

    fn unpack(time: u64) -> Job {
        Job::Installs(vec!["/usr/bin/dpkg".to_owned(), format!("{time}.deb")])
    }

    #[test]
    fn a_loop_over_the_same_work_counts_only_at_first() {
        assert_eq!(counted(|_| Job::Computes("subtask2".to_owned())), 3);
        assert_eq!(counted(|_| Job::Compiles(0)), 4);
        assert_eq!(counted(|_| Job::Installs(vec!["/usr/bin/apt-get".to_owned(), "update".to_owned()])), 6);
    }

    #[test]
    fn other_arguments_and_other_files_are_other_work() {
        assert_eq!(counted(unpack), 100);
        assert_eq!(counted(|time| Job::Compiles(time as usize % 3)), 12);
        assert_eq!(counted(|time| Job::Computes(format!("subtask{}", time % 3))), 9);
    }

    #[test]
    fn a_loop_that_changes_its_arguments_counts_only_at_first() {
        let mut starts = Starts::default();
        let mut counted =
            |job: fn(u64) -> Job| (0..1000).filter(|time| starts.counts(&job(*time), (7, *time))).count();
        assert_eq!(counted(unpack), 100);
        assert_eq!(counted(|time| Job::Compiles(time as usize)), 16);
        assert_eq!(counted(|time| Job::Computes(format!("subtask{time}"))), 12);
    }

    #[test]
    fn a_worker_that_counts_does_so_for_as_long_as_it_works() {
        let mut starts = Starts::default();
        let job = Job::Computes("subtask3".to_owned());
        for time in 0..100 {
            assert!(starts.counts(&job, (1, 1)));
            starts.counts(&job, (2, time));
        }
        assert!(!starts.counts(&job, (3, 1)));
    }
}
