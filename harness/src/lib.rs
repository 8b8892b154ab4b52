//! Submissions in, evidence recorded in virtual machines, verdicts judged on the host, reports out.
