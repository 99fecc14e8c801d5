//! The preset dictionaries of the session format: what claims of well-known providers have in common, and nobody's values.
//!
//! A dictionary is part of the format. Never change one: every session out there would stop opening. Add the next number,
//! write with it, and keep reading the old ones until no session of theirs can be alive.

/// The number that new sessions are written with.
pub(super) const CURRENT: u8 = 1;

/// The dictionary of that number.
pub(super) fn numbered(number: u8) -> Option<&'static [u8]> {
    (number == 1).then_some(FIRST.as_bytes())
}

/// What is nearest to the end costs the fewest bits to point at, so the most common comes last.
const FIRST: &str = concat!(
    r#"","xms_st":{"sub":""},"xms_tcdt":1,"xms_tdbr":"EU","xms_ftd":"","xms_idrel":"1 "#,
    r#"","tenant_region_scope":"EU","signin_state":["kmsi"],"unique_name":"","upn":"","puid":"","platf":"3","onprem_sid":"S-1-5-21-"#,
    r#"","ipaddr":"","idtyp":"user","deviceid":"","appidacr":"1","app_displayname":"","appid":"","acrs":["p1"],"acct":0,"#,
    r#""wids":["b79fbf4d-3ef9-4689-8143-76b194e85509"],"uti":"","rh":"0.A","oid":"","tid":"","ver":"2.0","ver":"1.0","aio":""#,
    r#"https://graph.microsoft.com","00000003-0000-0000-c000-000000000000","scp":"User.Read openid profile email offline_access"#,
    r#"https://login.microsoftonline.com/https://sts.windows.net//v2.0","hd":"","picture":"https://lh3.googleusercontent.com/a/"#,
    r#"https://accounts.google.com","azp":".apps.googleusercontent.com","https://dev-.okta.com/oauth2/default","cid":"","uid":"00u"#,
    r#".auth0.com/","gty":"refresh_token","permissions":["read:"],"cognito:groups":["cognito:username":"","token_use":"access"#,
    r#"","https://cognito-idp..amazonaws.com/","groups_direct":["federated_claims":{"connector_id":"","user_id":"","amr":["pwd","mfa","otp"],"#,
    r#""phone_number":"","phone_number_verified":false,"birthdate":"","gender":"","zoneinfo":"Europe/","website":"","address":{},"updated_at":1,"#,
    r#""nickname":"","middle_name":"","profile":"","locale":"en","entitlements":["permissions":["tenant":"","department":"","organization":["client_id":""#,
    r#"","cnf":{"jkt":"","x5t#S256":""},"act":{"sub":""},"may_act":,"events":{},"s_hash":"","c_hash":"","at_hash":"","x5t":"","kty":"RSA","#,
    r#""resource_access":{"realm-management":{"roles":["view-users","query-groups"]},"account":{"roles":["manage-account","manage-account-links","view-profile"]}},"#,
    r#""allowed-origins":["https://","http://localhost"],"realm_access":{"roles":["default-roles-","offline_access","uma_authorization","admin","user"]},"#,
    r#""{"alg":"HS512","typ":"JWT","kid":"","{"alg":"ES256","typ":"at+jwt","kid":"","{"typ":"JWT","alg":"RS256","kid":"","#,
    r#""typ":"Refresh","typ":"Offline","typ":"ID","typ":"Bearer","session_state":"","roles":["groups":["/","users","employees","everyone","admins","developers"],"#,
    r#""name":"","given_name":"","family_name":"","preferred_username":"","email":"@example.com","email_verified":true,"#,
    r#""scope":"openid profile email groups offline_access","acr":"1","sid":"","nonce":"","azp":"","auth_time":1"#,
    r#"{"alg":"RS256","typ":"JWT","kid":""}{"alg":"RS256","typ" : "JWT","kid" : ""}{"exp":17,"iat":17,"nbf":17,"auth_time":17,"jti":""#,
    r#"","iss":"https:///realms/","aud":["account"],"aud":"account","sub":"","typ":"Bearer","azp":"","sid":"","acr":"1","scope":""#,
);
