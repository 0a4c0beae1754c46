//! What both sides of a connection have of the link beneath them.

/// Gives a side what it passes on to its field `link`.
macro_rules! over_a_link {
    ($side:ty) => {
        impl $side {
            /// Where to read into; only for appending. Call [`Self::next_event`] afterwards.
            pub fn input(&mut self) -> &mut BytesMut {
                self.link.input()
            }

            /// How much room a read should have.
            #[must_use]
            pub fn input_room(&self) -> usize {
                self.link.room()
            }

            /// Takes octets of the peer.
            pub fn receive(&mut self, bytes: &[u8]) {
                self.link.receive(bytes);
            }

            /// Octets received and not looked at.
            #[must_use]
            pub fn held(&self) -> usize {
                self.link.held()
            }

            /// Whether to go on reading: not while a whole frame waits for [`Self::next_event`], nor after the end.
            #[must_use]
            pub fn wants_input(&self) -> bool {
                self.link.wants_input()
            }

            /// So much time has passed: a Ping may be due, or the end.
            pub fn passed(&mut self, time: Duration) {
                self.link.passed(time);
            }

            /// Ends the connection: the peer is told why.
            pub fn close(&mut self, failure: &Failure) {
                self.link.close(failure);
            }

            /// Whether the connection is over, but for what waits to be written.
            #[must_use]
            pub fn is_over(&self) -> bool {
                self.link.is_over()
            }
        }
    };
}

pub(super) use over_a_link;
