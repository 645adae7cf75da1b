//! The shape of each record type's data, as one table: reading, writing, and zone-file text all follow it.

/// One field of a record's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// A number of one byte.
    U8,
    /// A number of two bytes.
    U16,
    /// A number of four bytes.
    U32,
    /// A duration in seconds of four bytes.
    Seconds,
    /// A point in time, seconds since 1970 modulo 2^32 (RFC 4034 3.1.5).
    Time,
    /// A record type.
    Kind,
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// A name that may be compressed: only in types of RFC 1035.
    Name,
    /// A name that must not be (RFC 3597 4).
    PlainName,
    /// Bytes with their count before them.
    Text,
    /// One or more [`Field::Text`] to the end.
    Texts,
    /// A [`Field::Text`] of letters and digits that is written without quotes.
    Tag,
    /// Text to the end, without a count.
    Rest,
    /// Hexadecimal to the end.
    Hex,
    /// Hexadecimal with its count before it; `-` if empty.
    Salt,
    /// A hash in base32hex with its count before it.
    Hash,
    /// Base64 to the end.
    Base64,
    /// Record types to the end, as a bitmap (RFC 4034 4.1.2).
    Types,
    /// Service parameters to the end (RFC 9460 2.2).
    Params,
    /// EDNS options to the end.
    Options,
    /// 48 bits as `00-11-22-33-44-55`.
    Eui48,
    /// 64 bits as such.
    Eui64,
    /// 64 bits as `0014:4fff:ff20:ee64` (RFC 6742).
    Node64,
    /// A place on earth (RFC 1876).
    Place,
    /// Anything, to the end (RFC 3597).
    Unknown,
}

/// The fields of a type's data, in order.
pub type Layout = &'static [Field];

macro_rules! types {
    ($($code:literal $name:ident $constant:ident [$($field:ident)*] $doc:literal;)*) => {
        /// Names and shapes, by code.
        pub(super) const KNOWN: &[(u16, &str, Layout)] = &[$(($code, stringify!($name), &[$(Field::$field),*]),)*];
        impl super::Type {
            $(#[doc = $doc] pub const $constant: super::Type = super::Type($code);)*
        }
    };
}

types! {
    1 A A [Ip4] "IPv4 address.";
    2 NS NS [Name] "Name server.";
    3 MD MD [Name] "Mail destination (obsolete).";
    4 MF MF [Name] "Mail forwarder (obsolete).";
    5 CNAME CNAME [Name] "The canonical name.";
    6 SOA SOA [Name Name U32 U32 U32 U32 U32] "Start of a zone.";
    7 MB MB [Name] "Mailbox.";
    8 MG MG [Name] "Mail group.";
    9 MR MR [Name] "Mail rename.";
    10 NULL NULL [Unknown] "Anything.";
    12 PTR PTR [Name] "A name to go on with.";
    13 HINFO HINFO [Text Text] "Host information.";
    14 MINFO MINFO [Name Name] "Mailbox information.";
    15 MX MX [U16 Name] "Mail exchange.";
    16 TXT TXT [Texts] "Text.";
    17 RP RP [PlainName PlainName] "Responsible person.";
    18 AFSDB AFSDB [U16 PlainName] "AFS database.";
    19 X25 X25 [Text] "X.25 address.";
    20 ISDN ISDN [Texts] "ISDN address.";
    21 RT RT [U16 PlainName] "Route through.";
    24 SIG SIG [Kind U8 U8 Seconds Time Time U16 PlainName Base64] "Signature (RFC 2931).";
    25 KEY KEY [U16 U8 U8 Base64] "Key (RFC 2535).";
    26 PX PX [U16 PlainName PlainName] "X.400 mapping.";
    28 AAAA AAAA [Ip6] "IPv6 address.";
    29 LOC LOC [Place] "Place on earth (RFC 1876).";
    33 SRV SRV [U16 U16 U16 PlainName] "Service (RFC 2782).";
    35 NAPTR NAPTR [U16 U16 Text Text Text PlainName] "Naming authority pointer (RFC 3403).";
    36 KX KX [U16 PlainName] "Key exchanger.";
    37 CERT CERT [U16 U16 U8 Base64] "Certificate (RFC 4398).";
    39 DNAME DNAME [PlainName] "Redirection of a subtree (RFC 6672).";
    41 OPT OPT [Options] "EDNS (RFC 6891).";
    43 DS DS [U16 U8 U8 Hex] "Delegation signer (RFC 4034).";
    44 SSHFP SSHFP [U8 U8 Hex] "SSH fingerprint (RFC 4255).";
    46 RRSIG RRSIG [Kind U8 U8 Seconds Time Time U16 PlainName Base64] "Signature (RFC 4034).";
    47 NSEC NSEC [PlainName Types] "Next name (RFC 4034).";
    48 DNSKEY DNSKEY [U16 U8 U8 Base64] "Zone key (RFC 4034).";
    49 DHCID DHCID [Base64] "DHCP identifier (RFC 4701).";
    50 NSEC3 NSEC3 [U8 U8 U16 Salt Hash Types] "Next hashed name (RFC 5155).";
    51 NSEC3PARAM NSEC3PARAM [U8 U8 U16 Salt] "Parameters of NSEC3.";
    52 TLSA TLSA [U8 U8 U8 Hex] "TLS certificate association (RFC 6698).";
    53 SMIMEA SMIMEA [U8 U8 U8 Hex] "S/MIME certificate association (RFC 8162).";
    55 HIP HIP [Unknown] "Host identity (RFC 8005).";
    59 CDS CDS [U16 U8 U8 Hex] "DS for the parent (RFC 7344).";
    60 CDNSKEY CDNSKEY [U16 U8 U8 Base64] "DNSKEY for the parent (RFC 7344).";
    61 OPENPGPKEY OPENPGPKEY [Base64] "OpenPGP key (RFC 7929).";
    62 CSYNC CSYNC [U32 U16 Types] "Synchronisation with the parent (RFC 7477).";
    63 ZONEMD ZONEMD [U32 U8 U8 Hex] "Digest of a zone (RFC 8976).";
    64 SVCB SVCB [U16 PlainName Params] "Service binding (RFC 9460).";
    65 HTTPS HTTPS [U16 PlainName Params] "Service binding for HTTP (RFC 9460).";
    99 SPF SPF [Texts] "Sender policy (obsolete).";
    104 NID NID [U16 Node64] "Node identifier (RFC 6742).";
    105 L32 L32 [U16 Ip4] "Locator (RFC 6742).";
    106 L64 L64 [U16 Node64] "Locator (RFC 6742).";
    107 LP LP [U16 PlainName] "Locator pointer (RFC 6742).";
    108 EUI48 EUI48 [Eui48] "MAC address (RFC 7043).";
    109 EUI64 EUI64 [Eui64] "MAC address (RFC 7043).";
    249 TKEY TKEY [Unknown] "Secret key (RFC 2930).";
    250 TSIG TSIG [Unknown] "Signature of a message (RFC 8945).";
    251 IXFR IXFR [Unknown] "In questions: what changed.";
    252 AXFR AXFR [Unknown] "In questions: the whole zone.";
    253 MAILB MAILB [Unknown] "In questions: mailboxes.";
    254 MAILA MAILA [Unknown] "In questions: mail agents.";
    255 ANY ANY [Unknown] "In questions: any type.";
    256 URI URI [U16 U16 Rest] "URI (RFC 7553).";
    257 CAA CAA [U8 Tag Rest] "Who may issue certificates (RFC 8659).";
    261 RESINFO RESINFO [Texts] "About a resolver (RFC 9606).";
}
