//! What a session leaves behind: claims that nothing reads. Cookies travel with every request, and front proxies take only so
//! much of them.

use crate::identity::kept::ReadClaims;
use crate::session::Session;
use crate::session::codec;
use crate::session::settings::TokenKinds;

impl Session {
    /// This session without the claims that nothing reads. Where they are many, the ID token goes too, because it repeats them:
    /// signing out at the provider then names the client alone (LO-06). One that applications get (`forwarded`) stays.
    pub(super) fn trimmed(mut self, reads: &ReadClaims, forwarded: TokenKinds) -> Self {
        let mut in_token =
            self.tokens.id_token.as_ref().and_then(|token| codec::payload(token.expose())).unwrap_or_default();
        if !forwarded.id_token && reads.unread_bytes(&in_token) > UNREAD_MAX {
            self.tokens.id_token = None;
            in_token.clear();
        }
        let read = reads.of(&self.claims);
        // What stands in the ID token anyway costs nothing, and leaving it out would.
        self.claims.retain(|name, value| in_token.get(name) == Some(value));
        for (name, value) in read {
            self.claims.entry(name).or_insert(value);
        }
        if let Some(asked) = &mut self.asked {
            asked.names.retain(|name| self.claims.contains_key(name));
        }
        self
    }
}

/// A usual ID token has a few hundred bytes that nothing reads. What it is kept for is worth those.
const UNREAD_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::{ClaimMapping, ClaimPath, Claims};
    use crate::secret::Secret;
    use crate::session::samples;

    fn reads(others: &[&str]) -> ReadClaims {
        let others: Vec<_> = others.iter().map(|path| ClaimPath::parse(path).unwrap()).collect();
        ReadClaims::new(&ClaimMapping::default(), &others)
    }

    fn roles() -> Value {
        (0..300).map(|_| samples::noise(16)).collect()
    }

    /// A session as after a sign-in: its claims are those of the ID token, and others.
    fn session(in_token: &[(&str, Value)], elsewhere: &[(&str, Value)]) -> Session {
        let mut session = samples::padded().session();
        let with = |claims: &[(&str, Value)]| {
            claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Claims>()
        };
        let mut claims = codec::payload(session.tokens.id_token.as_ref().unwrap().expose()).unwrap();
        claims.extend(with(in_token));
        session.tokens.id_token = Some(Secret::new(samples::jws(&claims)));
        claims.extend(with(elsewhere));
        session.claims = claims;
        session
    }

    fn bytes(session: &Session) -> usize {
        codec::encode(session).len()
    }

    #[test]
    fn a_usual_session_stays_as_it_is() {
        for sample in samples::all() {
            let before = sample.session();
            let after = before.clone().trimmed(&reads(&[]), TokenKinds::default());
            assert!(bytes(&after) <= bytes(&before), "{}", sample.name);
        }
        let before = session(&[("department", json!("it"))], &[]);
        assert!(before.clone().trimmed(&reads(&[]), TokenKinds::default()) == before);
    }

    #[test]
    fn claims_that_nothing_reads_do_not_make_a_session_larger() {
        let plain = bytes(&session(&[], &[]).trimmed(&reads(&[]), TokenKinds::default()));
        let many =
            [("realm_access", json!({ "roles": roles() })), ("resource_access", json!({"wiki": {"roles": roles()}}))];
        for (in_token, elsewhere) in [(&many[..], &[][..]), (&[][..], &many[..])] {
            let session = session(in_token, elsewhere);
            assert!(bytes(&session) > plain + 2000, "the control");
            let trimmed = session.clone().trimmed(&reads(&[]), TokenKinds::default());
            assert!(bytes(&trimmed) <= plain + 64, "{} after {plain}", bytes(&trimmed));
            assert_eq!(trimmed.tokens.id_token.is_some(), in_token.is_empty());
            for name in ["sub", "iss", "azp", "aud", "groups", "email", "email_verified", "sid"] {
                assert_eq!(trimmed.claims.get(name), session.claims.get(name), "{name}");
            }
            // Again, after a refresh or a touch: nothing changes any more.
            assert!(trimmed.clone().trimmed(&reads(&[]), TokenKinds::default()) == trimmed);
        }
    }

    #[test]
    fn what_is_read_stays_however_large() {
        let many = [("realm_access", json!({ "roles": roles() }))];
        let kept = session(&many, &[]).trimmed(&reads(&["/realm_access/roles"]), TokenKinds::default());
        assert!(kept.tokens.id_token.is_some() && kept.claims.contains_key("realm_access"));
        let shown = session(&many, &[]).trimmed(&reads(&[]), TokenKinds { id_token: true, ..TokenKinds::default() });
        assert!(shown.tokens.id_token.is_some());
        let elsewhere = [("realm_access", json!({ "roles": ["a"], "other": roles() }))];
        let part = session(&[], &elsewhere).trimmed(&reads(&["/realm_access/roles"]), TokenKinds::default());
        assert_eq!(part.claims.get("realm_access"), Some(&json!({ "roles": ["a"] })));
    }

    #[test]
    fn an_id_token_that_cannot_be_read_stays() {
        for token in ["", "opaque", "a.b.c", "e30.e30."] {
            let mut session = session(&[], &[]);
            session.tokens.id_token = Some(Secret::from(token));
            let trimmed = session.trimmed(&reads(&[]), TokenKinds::default());
            assert_eq!(trimmed.tokens.id_token.unwrap().expose(), token);
        }
    }
}
