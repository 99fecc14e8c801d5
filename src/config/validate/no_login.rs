//! `no_login_from` of a route or of its `paths`: networks whose people pass without signing in.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::file::{RouteTable, RuleKeys};
use super::super::units::Network;
use super::{Field, Found, Named, OneOrMany, Problems, kinds, listed};
use crate::gateway::settings::GatewaySettings;
use crate::policy::settings::Access;
use crate::server::settings::{ListenAddress, ServerSettings};

/// The networks, checked for themselves and warned about; `None` where the key is not given.
pub(super) fn networks(field: &Field<OneOrMany<Network>>, problems: &mut Problems) -> Option<Vec<Found<IpNet>>> {
    let found = field.given()?;
    let networks = each(&found.value);
    let plain: Vec<IpNet> = networks.iter().map(|network| network.value).collect();
    if plain.is_empty() {
        problems.on(kinds::EMPTY_NO_LOGIN, found, "is an empty list");
    } else if let Some(family) = whole_internet(&plain) {
        problems.on(kinds::NO_LOGIN_FOR_ALL, found, format!("holds every address of {family}"));
    } else {
        let shown: Vec<String> = plain.iter().map(ToString::to_string).collect();
        let what = format!("lets whoever comes from {} in without a sign-in", listed(shown.iter().map(String::as_str)));
        problems.on(kinds::NO_LOGIN, found, what);
    }
    Some(networks)
}

/// Those of a route and of its parts, where they are written.
pub(super) fn written(table: &RouteTable) -> Vec<Vec<Found<IpNet>>> {
    let of_parts = table.paths.value().into_iter().flat_map(Named::given).map(|(_, keys)| &keys.value.no_login_from);
    std::iter::once(&table.no_login_from).chain(of_parts).filter_map(Field::value).map(each).collect()
}

/// The networks of a list, each with its place.
fn each(list: &OneOrMany<Network>) -> Vec<Found<IpNet>> {
    list.0.iter().map(|item| item.with(item.value.0)).collect()
}

/// Whether a part of a route takes over that of its route: only where it asks for nothing else, or everybody in the building would
/// be an administrator.
pub(super) fn is_inherited(keys: &RuleKeys) -> bool {
    keys.access.is_absent() && keys.allow.is_absent() && keys.providers.is_absent() && keys.max_age.is_absent()
}

/// Networks that need no sign-in mean something only where somebody has to sign in.
pub(super) fn check_access(access: Access, keys: &RuleKeys, problems: &mut Problems) {
    let Some(found) = keys.no_login_from.given() else { return };
    let (word, reason) = match access {
        Access::Login | Access::Api => return,
        Access::Optional => ("optional", "whoever is not signed in passes there from everywhere"),
        Access::Public => ("public", "nobody has to sign in there, wherever they come from"),
        Access::Deny => ("deny", "nobody passes there, wherever they come from"),
    };
    problems.on(kinds::NO_LOGIN_AGAINST_ACCESS, found, format!("contradicts access = \"{word}\"")).reason(reason);
}

/// What holds between the networks, as they are written in each place, and the way that requests come here.
pub(super) fn check_way<'a>(
    written: impl Iterator<Item = &'a Vec<Found<IpNet>>>,
    server: &ServerSettings,
    gateway: &GatewaySettings,
    problems: &mut Problems,
) {
    let trusts_nobody = gateway.trusted_proxies.is_empty() && !gateway.trust_unix;
    let is_unix = |address: &ListenAddress| matches!(address, ListenAddress::Unix(_));
    // What the service manager hands over may be a unix socket; on TCP it is served as TLS like any other.
    let ends_before_us = server.tls.is_none() || server.listen.iter().any(is_unix);
    for found in written {
        let Some(first) = found.first() else { continue };
        for network in found {
            check_overlap(network, &gateway.trusted_proxies, problems);
        }
        if problems.has(&[kinds::NO_TRUSTED_PROXY]) {
            continue;
        }
        if trusts_nobody && gateway.public_url.https && ends_before_us {
            let what =
                "needs the address of clients, which only the proxy that serves https knows, and no proxy is trusted";
            problems.on(kinds::NO_LOGIN_BEHIND_UNKNOWN_PROXY, first, what);
        } else if !gateway.trust_unix && server.listen.iter().all(is_unix) {
            let what =
                "needs the address of clients, which only the peer on the unix socket knows, and it is not trusted";
            let diagnostic = problems.on(kinds::NO_LOGIN_BEHIND_UNKNOWN_PROXY, first, what);
            diagnostic.reason(
                "a peer on a unix socket has no address of its own: nobody could pass because of these networks",
            );
            diagnostic.help("add \"unix\" to server.trusted_proxies");
        }
    }
}

/// The address of a proxy is that of everybody who comes through it.
fn check_overlap(network: &Found<IpNet>, proxies: &[IpNet], problems: &mut Problems) {
    let overlaps = |proxy: &&IpNet| proxy.contains(&network.value) || network.value.contains(*proxy);
    if let Some(proxy) = proxies.iter().find(overlaps) {
        let what = format!("holds {}, which overlaps {proxy} of `server.trusted_proxies`", network.value);
        problems.on(kinds::NO_LOGIN_FOR_PROXY, network, what);
    }
}

/// The family of which these networks hold every address that somebody on the internet can have, however they are cut.
fn whole_internet(networks: &[IpNet]) -> Option<&'static str> {
    let all_v4 = Ipv6Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96);
    let (mut v4, mut v6) = (NOT_ON_THE_INTERNET.to_vec(), Vec::new());
    for network in networks {
        match network {
            IpNet::V4(network) => v4.push(*network),
            IpNet::V6(network) => {
                v6.push(*network);
                if network.contains(&all_v4) {
                    v4.push(Ipv4Net::default());
                }
            }
        }
    }
    let is_all = Ipv4Net::aggregate(&v4).iter().any(|network| network.prefix_len() == 0);
    let is_all_v6 = Ipv6Net::aggregate(&v6).iter().any(|network| network.contains(&GLOBAL_UNICAST));
    if is_all { Some("IPv4") } else { is_all_v6.then_some("IPv6") }
}

/// IPv4 networks that nobody on the internet can come from
/// ([RFC 6890 section 2.2.2](https://www.rfc-editor.org/rfc/rfc6890#section-2.2.2)): a list may leave them out and hold everybody.
const NOT_ON_THE_INTERNET: [Ipv4Net; 8] = {
    const fn net(a: u8, b: u8, length: u8) -> Ipv4Net {
        Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, 0, 0), length)
    }
    [
        net(0, 0, 8),
        net(10, 0, 8),
        net(100, 64, 10),
        net(127, 0, 8),
        net(169, 254, 16),
        net(172, 16, 12),
        net(192, 168, 16),
        net(224, 0, 3),
    ]
};
/// All IPv6 addresses that are given out ([RFC 4291 section 2.4](https://www.rfc-editor.org/rfc/rfc4291#section-2.4)).
const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::parse_network;

    #[test]
    fn everybody_is_everybody_however_the_networks_are_cut() {
        let family = |text: &str| {
            let networks: Vec<IpNet> = text.split(' ').map(|it| parse_network(it).unwrap()).collect();
            whole_internet(&networks)
        };
        let eighths = (0..8).map(|at| format!("{}.0.0.0/3", at * 32)).collect::<Vec<_>>().join(" ");
        for (networks, whole) in [
            ("0.0.0.0/0", Some("IPv4")),
            ("10.1.2.3/0", Some("IPv4")),
            ("0.0.0.0/1 128.0.0.0/1", Some("IPv4")),
            ("128.0.0.0/1 10.0.0.0/8 0.0.0.0/2 64.0.0.0/2", Some("IPv4")),
            ("::ffff:0.0.0.0/96", Some("IPv4")),
            ("::ffff:0:0/97 ::ffff:128.0.0.0/97", Some("IPv4")),
            (eighths.as_str(), Some("IPv4")),
            // All that the internet has.
            ("0.0.0.0/1 128.0.0.0/2 192.0.0.0/3", Some("IPv4")),
            (
                "1.0.0.0/8 2.0.0.0/7 4.0.0.0/6 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/2 192.0.0.0/3",
                Some("IPv4"),
            ),
            ("::/0", Some("IPv4")),
            ("::ffff:0:0/95", Some("IPv4")),
            ("::/1 8000::/1", Some("IPv4")),
            ("2000::/3", Some("IPv6")),
            ("2000::/4 3000::/4 fd00::/8", Some("IPv6")),
            ("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fd00::/8", None),
            ("128.0.0.0/1", None),
            ("0.0.0.0/8", None),
            ("2001:db8::/32", None),
        ] {
            assert_eq!(family(networks), whole, "{networks}");
        }
    }
}
