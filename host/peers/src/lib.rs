//! Other participants: what is asked of them, and what they ask of us.

pub mod agent;
pub mod dev;
pub mod source;
pub mod wire;
