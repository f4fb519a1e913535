//! Who holds a port, as far as the system tells: for the error a user sees.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// The name and process id of a program that holds this UDP or TCP port, at this address or at all
/// of them: `FeiQ (process 4711)`. None where the system does not say: another user's process, or a
/// system without `/proc`.
pub(crate) fn holder(at: SocketAddr) -> Option<String> {
    let sockets: Vec<String> = ["udp", "udp6", "tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(Path::new("/proc/net").join(table)).ok())
        .flat_map(|table| inodes(&table, at))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    // Its children may have the socket too, for as long as they have not become another program.
    let process = processes
        .filter(|process| process.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter(|process| holds(&process.path(), &sockets))
        .min_by_key(|process| started(&process.path()))?;
    let name = fs::read_to_string(process.path().join("comm")).ok()?;
    let pid = process.file_name();
    Some(format!("{} (process {})", name.trim(), pid.to_string_lossy()))
}

/// The sockets that stand in the way of one at `at`, from a table of `proc_pid_net(5)`: the second
/// field is the local address and port in hex, the tenth the inode. Connections that are over have
/// no inode. An IPv6 socket may hold the port of IPv4 too, so its address does not matter.
fn inodes(table: &str, at: SocketAddr) -> Vec<String> {
    let port = format!("{:04X}", at.port());
    let ip = match at.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => Some(hex(ip)),
        _ => None,
    };
    let bound = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (local, its_port) = fields.nth(1)?.split_once(':')?;
        let inode = fields.nth(7)?;
        let meets = |ip: &String| [hex(Ipv4Addr::UNSPECIFIED).as_str(), ip].contains(&local);
        let is_there = local.len() > 8 || ip.as_ref().is_none_or(meets);
        (its_port == port && is_there && inode != "0").then(|| inode.to_owned())
    });
    bound.collect()
}

/// As the kernel prints it: the four bytes as a number of this machine.
fn hex(ip: Ipv4Addr) -> String {
    format!("{:08X}", u32::from_ne_bytes(ip.octets()))
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        fs::read_link(descriptor.path()).is_ok_and(|target| {
            target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target))
        })
    })
}

/// When a process was started, in ticks since the system was: the twenty-second field of
/// `proc_pid_stat(5)`, of which the second, the name, stands in brackets and may have anything in it.
fn started(process: &Path) -> u64 {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let behind_the_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = behind_the_name.split_whitespace().nth(19);
    field.and_then(|field| field.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_older_than_those_it_starts() {
        let mut child = std::process::Command::new("sleep").arg("9").spawn().unwrap();
        let age = |pid: u32| started(&Path::new("/proc").join(pid.to_string()));
        let (own, other) = (age(std::process::id()), age(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(0 < own && own <= other && other < u64::MAX, "{own} {other}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_sockets_are_found() {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        let any = SocketAddr::from(([127, 77, 1, 1], 0));
        socket.bind(&any.into()).unwrap();
        let at = socket.local_addr().unwrap().as_socket().unwrap();
        let own = format!("(process {})", std::process::id());
        let holds = |at| holder(at).is_some_and(|holder| holder.ends_with(&own));
        assert!(holds(at));
        assert!(holds((Ipv4Addr::UNSPECIFIED, at.port()).into()));
        assert!(
            !holds(([127, 77, 1, 2], at.port()).into()),
            "somebody beside it is not in the way"
        );
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                     uid  timeout inode ref pointer drops\n  \
                     1: 00000000:0979 00000000:0000 07 00000000:00000000 00:00000000 00000000  \
                     1000        0 12345 2 0000000000000000 0\n";
        let at = |port: u16| inodes(table, ([10, 0, 0, 1], port).into());
        assert_eq!(at(2425), ["12345"]);
        assert!(at(2426).is_empty());
    }
}
