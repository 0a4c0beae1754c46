//! Who may do what with topics and groups (ACLs), and who there is (SCRAM users).

use std::ptr;
use std::time::Duration;

use rdkafka::bindings::*;

use super::{Asked, Fault, Owned, Words, array, c_string, string};
use crate::kafka::native::handle::Handle;
use crate::kafka::rights::Right;

/// Rounds of hashing of a SCRAM password: Kafka's least, which its own tool takes, too.
const ITERATIONS: i32 = 4096;

impl Right {
    fn operation(self) -> rd_kafka_AclOperation_t {
        match self {
            Self::Describe => rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            Self::Read => rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ,
            Self::Write => rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE,
        }
    }

    fn of(operation: rd_kafka_AclOperation_t) -> Option<Self> {
        [Self::Describe, Self::Read, Self::Write]
            .into_iter()
            .find(|right| right.operation() == operation)
    }
}

/// What a right is on.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) enum Resource<'a> {
    /// A topic by its whole name.
    Topic(&'a str),
    /// All groups whose names begin so.
    Groups(&'a str),
}

impl<'a> Resource<'a> {
    fn parts(self) -> (&'a str, rd_kafka_ResourceType_t, rd_kafka_ResourcePatternType_t) {
        use rd_kafka_ResourcePatternType_t as Pattern;
        use rd_kafka_ResourceType_t as Type;
        match self {
            Self::Topic(name) => {
                (name, Type::RD_KAFKA_RESOURCE_TOPIC, Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL)
            }
            Self::Groups(prefix) => {
                (prefix, Type::RD_KAFKA_RESOURCE_GROUP, Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED)
            }
        }
    }
}

/// Lets a principal do something with a topic, or with groups. Harmless where he may already.
pub(in crate::kafka) async fn allow(
    handle: &Handle,
    principal: &str,
    resource: Resource<'_>,
    right: Right,
    limit: Duration,
) -> Result<(), Fault> {
    let asked = {
        let acl = binding(principal, resource, right)?;
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_CreateAcls(client, &mut acl.as_ptr(), 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_CreateAcls_result(event.as_ptr());
        if result.is_null() {
            return Ok(());
        }
        let mut count = 0;
        let acls = rd_kafka_CreateAcls_result_acls(result, &mut count);
        array(acls, count)
            .iter()
            .try_for_each(|acl| Fault::of_error(rd_kafka_acl_result_error(*acl)))
    }
}

/// Takes everything back that a principal was allowed, or denied: with a resource, or at all.
pub(in crate::kafka) async fn disallow(
    handle: &Handle,
    principal: &str,
    resource: Option<Resource<'_>>,
    limit: Duration,
) -> Result<(), Fault> {
    let asked = {
        let filter = filter(Some(principal), resource)?;
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEACLS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_DeleteAcls(client, &mut filter.as_ptr(), 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_DeleteAcls_result(event.as_ptr());
        if result.is_null() {
            return Ok(());
        }
        let mut count = 0;
        let responses = rd_kafka_DeleteAcls_result_responses(result, &mut count);
        array(responses, count).iter().try_for_each(|response| {
            Fault::of_error(rd_kafka_DeleteAcls_result_response_error(*response))
        })
    }
}

/// Principals and what each may do with a topic by name.
pub(in crate::kafka) async fn rights(
    handle: &Handle,
    topic: &str,
    limit: Duration,
) -> Result<Vec<(String, Right)>, Fault> {
    found(handle, &|| filter(None, Some(Resource::Topic(topic))), limit).await
}

/// What a principal may do, with whatever it is; as often as it is written down.
pub(in crate::kafka) async fn rights_of(
    handle: &Handle,
    principal: &str,
    limit: Duration,
) -> Result<Vec<Right>, Fault> {
    let found = found(handle, &|| filter(Some(principal), None), limit).await?;
    Ok(found.into_iter().map(|(_, right)| right).collect())
}

async fn found(
    handle: &Handle,
    filter: &(dyn Fn() -> Result<Owned<rd_kafka_AclBinding_t>, Fault> + Sync),
    limit: Duration,
) -> Result<Vec<(String, Right)>, Fault> {
    let asked = {
        let filter = filter()?;
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_DescribeAcls(client, filter.as_ptr(), options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_DescribeAcls_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let mut count = 0;
        let acls = rd_kafka_DescribeAcls_result_acls(result, &mut count);
        let allowed = rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW;
        let right = |acl: &*const _| {
            let right = Right::of(rd_kafka_AclBinding_operation(*acl))?;
            (rd_kafka_AclBinding_permission_type(*acl) == allowed)
                .then(|| (string(rd_kafka_AclBinding_principal(*acl)), right))
        };
        Ok(array(acls, count).iter().filter_map(right).collect())
    }
}

fn binding(
    principal: &str,
    resource: Resource<'_>,
    right: Right,
) -> Result<Owned<rd_kafka_AclBinding_t>, Fault> {
    let (name, kind, pattern) = resource.parts();
    let (principal, name, host) = (c_string(principal)?, c_string(name)?, c_string("*")?);
    let mut words = Words::default();
    // SAFETY: the names are alive and copied; the buffer is as large as is said.
    unsafe {
        let acl = rd_kafka_AclBinding_new(
            kind,
            name.as_ptr(),
            pattern,
            principal.as_ptr(),
            host.as_ptr(),
            right.operation(),
            rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
            words.as_mut_ptr(),
            words.len(),
        );
        if acl.is_null() {
            return Err(words.fault());
        }
        Owned::new(acl, rd_kafka_AclBinding_destroy)
    }
}

/// Without a resource all of them are meant.
fn filter(
    principal: Option<&str>,
    resource: Option<Resource<'_>>,
) -> Result<Owned<rd_kafka_AclBinding_t>, Fault> {
    let parts = resource.map(Resource::parts);
    let principal = principal.map(c_string).transpose()?;
    let name = parts.map(|(name, ..)| c_string(name)).transpose()?;
    let kind = parts.map_or(rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_ANY, |(_, kind, _)| kind);
    let pattern = parts
        .map_or(rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY, |(.., pattern)| {
            pattern
        });
    let mut words = Words::default();
    // SAFETY: the names are null or alive and copied; the buffer is as large as is said.
    unsafe {
        let filter = rd_kafka_AclBindingFilter_new(
            kind,
            name.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
            pattern,
            principal.as_ref().map_or(ptr::null(), |principal| principal.as_ptr()),
            ptr::null(),
            rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ANY,
            rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
            words.as_mut_ptr(),
            words.len(),
        );
        if filter.is_null() {
            return Err(words.fault());
        }
        Owned::new(filter, rd_kafka_AclBinding_destroy)
    }
}

/// Gives a user a password for SCRAM-SHA-512, a new one where he has one; or takes it from him.
pub(in crate::kafka) async fn set_user(
    handle: &Handle,
    name: &str,
    password: Option<&str>,
    limit: Duration,
) -> Result<(), Fault> {
    let asked = {
        let user = alteration(name, password)?;
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERUSERSCRAMCREDENTIALS;
        Asked::new(handle, op, limit, |client, options, queue| {
            let mut user = user.as_ptr();
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_AlterUserScramCredentials(client, &mut user, 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_AlterUserScramCredentials_result(event.as_ptr());
        if result.is_null() {
            return Ok(());
        }
        let mut count = 0;
        let users = rd_kafka_AlterUserScramCredentials_result_responses(result, &mut count);
        array(users, count).iter().try_for_each(|user| {
            Fault::of_error(rd_kafka_AlterUserScramCredentials_result_response_error(*user))
        })
    }
}

fn alteration(
    name: &str,
    password: Option<&str>,
) -> Result<Owned<rd_kafka_UserScramCredentialAlteration_t>, Fault> {
    let name = c_string(name)?;
    let mechanism = rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_512;
    // SAFETY: name and password are alive and copied, as long as is said; without a salt librdkafka makes
    // one at random.
    unsafe {
        let made = match password {
            Some(password) => rd_kafka_UserScramCredentialUpsertion_new(
                name.as_ptr(),
                mechanism,
                ITERATIONS,
                password.as_ptr(),
                password.len(),
                ptr::null(),
                0,
            ),
            None => rd_kafka_UserScramCredentialDeletion_new(name.as_ptr(), mechanism),
        };
        Owned::new(made, rd_kafka_UserScramCredentialAlteration_destroy)
    }
}
