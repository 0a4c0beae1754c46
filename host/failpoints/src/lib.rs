//! Places where a test may end the process, between one step and the next.
//!
//! A place ends it as SIGKILL does: no destructor runs, nothing is flushed. Only programs that are built
//! with debug assertions have any; in a release build [`failpoint!`] expands to nothing.
//!
//! `FNAAD_FAILPOINTS` names a file. Every place that is passed is said on stderr as `failpoint NAME`, and
//! where the file holds `NAME:COUNT`, the process ends at the COUNT-th passing of NAME since the file
//! said so: a test arms a host that runs already, and what its start passed does not count.

#[cfg(debug_assertions)]
mod armed;

#[cfg(debug_assertions)]
#[doc(hidden)]
pub use armed::pass;

/// Names a place between two steps; the name is said nowhere else.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {{
        #[cfg(debug_assertions)]
        $crate::pass($name);
    }};
}
