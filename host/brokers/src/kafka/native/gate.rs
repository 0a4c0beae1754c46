//! Connecting for a client of librdkafka's that may not connect everywhere: it is asked at each attempt, when the address is
//! known, so that no name and no advertised listener leads past it.

use std::ffi::c_int;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;

use libc::{
    AF_INET, AF_INET6, EACCES, EINPROGRESS, sockaddr, sockaddr_in, sockaddr_in6, socklen_t,
};

/// Connects a socket as librdkafka would by itself, where the address is allowed. What librdkafka wants to know: zero, or
/// the number of the error.
///
/// # Safety
/// `address` points to so many octets, and the socket is open.
pub(super) unsafe fn connect(
    socket: c_int,
    address: *const sockaddr,
    length: c_int,
    is_allowed: impl FnOnce(SocketAddr) -> bool,
) -> c_int {
    let Ok(length) = socklen_t::try_from(length) else { return EACCES };
    // SAFETY: as the caller promises.
    match unsafe { read(address, length) } {
        Some(at) if is_allowed(at) => {}
        _ => return EACCES,
    }
    // SAFETY: as the caller promises.
    if unsafe { libc::connect(socket, address, length) } == 0 {
        return 0;
    }
    match std::io::Error::last_os_error().raw_os_error() {
        // The socket waits for nothing: how it went is told later.
        Some(EINPROGRESS) => 0,
        code => code.unwrap_or(EACCES),
    }
}

/// # Safety
/// `address` points to so many octets.
unsafe fn read(address: *const sockaddr, length: socklen_t) -> Option<SocketAddr> {
    let length = length as usize;
    if address.is_null() || length < size_of::<sockaddr>() {
        return None;
    }
    // SAFETY: it is as long as this, and read as what it says it is only where it is as long as that.
    unsafe {
        match c_int::from(ptr::read_unaligned(address).sa_family) {
            AF_INET if length >= size_of::<sockaddr_in>() => {
                let at = ptr::read_unaligned(address.cast::<sockaddr_in>());
                let ip = Ipv4Addr::from_bits(u32::from_be(at.sin_addr.s_addr));
                Some(SocketAddr::from((ip, u16::from_be(at.sin_port))))
            }
            AF_INET6 if length >= size_of::<sockaddr_in6>() => {
                let at = ptr::read_unaligned(address.cast::<sockaddr_in6>());
                let ip = Ipv6Addr::from(at.sin6_addr.s6_addr);
                Some(SocketAddr::from((ip, u16::from_be(at.sin6_port))))
            }
            _ => None,
        }
    }
}
