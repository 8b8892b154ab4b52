//! Programs that stand in for others in the guest: a quick `debootstrap`, a stretched `sleep`,
//! a replaced conductor.

pub mod debootstrap;
pub mod replaced;
pub mod sleep;
