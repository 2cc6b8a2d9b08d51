//! A signal that asks for an end: work that keeps its state looks here, saves it and ends.
//!
//! Only an element of a cluster's plan asks ([`crate::run`], `task`). Elsewhere a signal ends the program at once, which costs little:
//! what is to be kept is on the disk at all times.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether an end is asked for.
static ASKED: AtomicBool = AtomicBool::new(false);
/// How many pieces of work are under way that will look.
static LOOKING: AtomicUsize = AtomicUsize::new(0);
/// Whether work was kept on the disk since this process began.
static GAINED: AtomicBool = AtomicBool::new(false);

/// Asks for an end. Says whether work is under way that will look.
pub fn ask() -> bool {
    ASKED.store(true, Ordering::SeqCst);
    LOOKING.load(Ordering::SeqCst) > 0
}

/// Whether an end is asked for.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Work was kept on the disk: a later process need not do it again.
pub fn gained() {
    GAINED.store(true, Ordering::SeqCst);
}

/// Whether a later process would get further than this one began.
pub fn has_gained() -> bool {
    GAINED.load(Ordering::SeqCst)
}

/// Work that looks at [`asked`] for as long as this lives.
pub struct Looking(());

impl Looking {
    pub fn begin() -> Looking {
        LOOKING.fetch_add(1, Ordering::SeqCst);
        Looking(())
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::SeqCst);
    }
}
