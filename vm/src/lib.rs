//! Throw-away virtual machines in QEMU: images, accelerators, templates that restore in under a second, and
//! a channel into the guest. Knows nothing of what is done in them.
