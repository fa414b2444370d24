//! How many connections there may be: in all, from one address, of one user.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections and refuses those beyond the limits. A cheap clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    all: Seats<()>,
    by_network: Seats<IpAddr>,
}

/// A connection's place in the counts; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _all: Seat<()>,
    _network: Option<Seat<IpAddr>>,
}

/// Which limit refused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many in all.
    Total,
    /// Too many from this address.
    Address,
}

impl Admission {
    pub(crate) fn new(total_max: usize, per_address_max: usize) -> Admission {
        Admission {
            all: Seats::new(total_max),
            by_network: Seats::new(per_address_max),
        }
    }

    /// Changes the limits. Nobody loses a place.
    pub(crate) fn set_max(&self, total_max: usize, per_address_max: usize) {
        self.all.set_max(total_max);
        self.by_network.set_max(per_address_max);
    }

    /// Takes a place for a connection from `address`. This machine's own are not limited by address:
    /// behind one may be a webmail with all users.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Place, Refused> {
        let network = match network(address) {
            local if local.is_loopback() => None,
            other => Some(self.by_network.take(other).ok_or(Refused::Address)?),
        };
        let all = self.all.take(()).ok_or(Refused::Total)?;
        Ok(Place {
            _all: all,
            _network: network,
        })
    }

    /// Connections now.
    pub(crate) fn connections(&self) -> usize {
        self.all.taken(&())
    }
}

/// One IPv6 customer has a whole /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        other => other,
    }
}

/// A number of seats for each key.
#[derive(Debug)]
pub(crate) struct Seats<K: Eq + Hash>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K> {
    max: AtomicUsize,
    taken: Mutex<HashMap<K, usize>>,
}

/// A taken seat; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat<K: Eq + Hash> {
    seats: Seats<K>,
    key: Option<K>,
}

impl<K: Eq + Hash> Clone for Seats<K> {
    fn clone(&self) -> Self {
        Seats(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Clone> Seats<K> {
    pub(crate) fn new(max: usize) -> Seats<K> {
        Seats(Arc::new(Shared {
            max: AtomicUsize::new(max),
            taken: Mutex::new(HashMap::new()),
        }))
    }

    /// Takes a seat, if there is one for this key.
    pub(crate) fn take(&self, key: K) -> Option<Seat<K>> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&key).copied().unwrap_or(0);
        if count >= self.0.max.load(Relaxed) {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        Some(Seat {
            seats: self.clone(),
            key: Some(key),
        })
    }

    /// Changes how many seats there are. Nobody loses one.
    pub(crate) fn set_max(&self, max: usize) {
        self.0.max.store(max, Relaxed);
    }

    /// Seats taken for this key.
    pub(crate) fn taken(&self, key: &K) -> usize {
        let taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(key).copied().unwrap_or(0)
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut taken = self
            .seats
            .0
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = taken.entry(key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_limited_by_address_and_in_all_and_given_back() {
        let admission = Admission::new(3, 2);
        let first = admission.admit(address("192.0.2.1")).unwrap();
        let _second = admission.admit(address("192.0.2.1")).unwrap();
        assert_eq!(
            admission.admit(address("192.0.2.1")).unwrap_err(),
            Refused::Address
        );
        // The same address seen through a socket that speaks both.
        assert_eq!(
            admission.admit(address("::ffff:192.0.2.1")).unwrap_err(),
            Refused::Address
        );
        let _third = admission.admit(address("192.0.2.2")).unwrap();
        assert_eq!(
            admission.admit(address("192.0.2.3")).unwrap_err(),
            Refused::Total
        );
        drop(first);
        assert_eq!(admission.connections(), 2);
        admission.admit(address("192.0.2.1")).unwrap();
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let admission = Admission::new(10, 1);
        let _place = admission.admit(address("2001:db8::1")).unwrap();
        assert_eq!(
            admission.admit(address("2001:db8::ffff:1")).unwrap_err(),
            Refused::Address
        );
        assert!(admission.admit(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn this_machine_is_not_limited_by_address() {
        let admission = Admission::new(10, 1);
        for text in ["127.0.0.1", "127.0.0.1", "::1", "::1"] {
            std::mem::forget(admission.admit(address(text)).unwrap());
        }
        assert_eq!(admission.connections(), 4);
    }

    #[test]
    fn no_entry_is_left_behind() {
        let admission = Admission::new(10, 10);
        drop(admission.admit(address("192.0.2.1")).unwrap());
        assert!(admission.by_network.0.taken.lock().unwrap().is_empty());
    }
}
