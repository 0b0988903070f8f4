//! Packets that the system dropped because a socket's buffer was full: what nobody answers because nobody read it.

use std::fs;

/// The counter of the network namespace that a process is in (this one's where it is not known), `RcvbufErrors` of UDP over IPv4 and
/// over IPv6: of all its sockets together. `None` where the system does not say.
#[must_use]
pub fn receive_buffer_errors(process: Option<u32>) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/net/{file}", name(process)));
    let over_ipv4 = parse(&read("snmp").ok()?)?;
    // A system without IPv6 has no such file.
    Some(over_ipv4.saturating_add(read("snmp6").map_or(Some(0), |snmp6| parse_ipv6(&snmp6))?))
}

/// Packets that the system dropped because the buffer of the sockets at a port was full, in the network namespace of a process (this
/// one's where it is not known): what a tracker did not read. `None` where the system does not say, or nobody has that port.
#[must_use]
pub fn at_port(process: Option<u32>, port: u16) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/net/{file}", name(process)));
    // A system without IPv6 has no file of it.
    let sockets = read("udp").ok()? + &read("udp6").unwrap_or_default();
    let drops: Vec<u64> = sockets.lines().filter_map(|line| drops_at(line, port)).collect();
    (!drops.is_empty()).then(|| drops.into_iter().fold(0, u64::saturating_add))
}

/// What the last column of a line of `/proc/net/udp` says, where the line is of a socket at this port.
fn drops_at(line: &str, port: u16) -> Option<u64> {
    let mut words = line.split_whitespace();
    let (_, local_port) = words.nth(1)?.split_once(':')?;
    let is_it = u16::from_str_radix(local_port, 16) == Ok(port);
    words.next_back().filter(|_| is_it)?.parse().ok()
}

/// Whether a process is in another network namespace than this one.
#[must_use]
pub fn has_own_namespace(process: Option<u32>) -> bool {
    network_namespace(&name(process)) != network_namespace(&name(None))
}

fn name(process: Option<u32>) -> String {
    process.map_or_else(|| "self".to_owned(), |process| process.to_string())
}

/// The namespace that a process is in, as the system names it.
fn network_namespace(process: &str) -> Option<String> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok().map(|name| name.to_string_lossy().into_owned())
}

/// Two lines that begin alike: names, and their values.
fn parse(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let of = names.split_whitespace().zip(values.split_whitespace()).find(|(name, _)| *name == "RcvbufErrors");
    of.and_then(|(_, value)| value.parse().ok())
}

/// A line for each name.
fn parse_ipv6(snmp6: &str) -> Option<u64> {
    let value = snmp6.lines().find_map(|line| line.strip_prefix("Udp6RcvbufErrors"))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_by_its_name() {
        let snmp = "Tcp: RcvbufErrors\nTcp: 9\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n\
            Udp: 5 6 7 8 1487 0\nUdpLite: RcvbufErrors\nUdpLite: 3\n";
        assert_eq!(parse(snmp), Some(1_487));
        assert_eq!(parse("Udp: InDatagrams\nUdp: 5\n"), None);
        assert_eq!(parse(""), None);
        assert_eq!(
            parse_ipv6("Udp6InErrors\t3\nUdp6RcvbufErrors                \t17\nUdpLite6RcvbufErrors\t9\n"),
            Some(17)
        );
        assert_eq!(parse_ipv6("Udp6InErrors 3\n"), None);
        let line = " 21: 0100007F:1B39 00000000:0000 07 00000000:00000000 00:00000000 00000000  0   0 1234 2 0000000000000000 17";
        assert_eq!((drops_at(line, 6_969), drops_at(line, 6_970)), (Some(17), None));
        assert_eq!(drops_at("  sl  local_address rem_address   st tx_queue rx_queue drops", 6_969), None);
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let own = Some(std::process::id());
        assert_eq!(at_port(own, socket.local_addr().unwrap().port()), Some(0));
        assert!(receive_buffer_errors(own).is_some() && receive_buffer_errors(None).is_some());
        assert!(network_namespace("self").is_some() && !has_own_namespace(own));
    }
}
