//! The C library of PAM, found when it is needed: it is no part of this program.
//!
//! Declarations are those of Linux-PAM's `security/pam_appl.h` and `_pam_types.h`.
#![allow(
    unsafe_code,
    reason = "a C library; in a process of its own that holds one password and does one check"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::{mem, ptr};

const SUCCESS: c_int = 0;
const CONV_ERR: c_int = 19;
const BUF_ERR: c_int = 5;
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const RHOST: c_int = 4;
const FAIL_DELAY: c_int = 10;
const SILENT: c_int = 0x8000;
const DISALLOW_NULL_AUTHTOK: c_int = 1;
/// Questions at once (PAM_MAX_NUM_MSG).
const MESSAGES_MAX: c_int = 32;

/// Why a check was not a success.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such library, or no such function in it.
    Library,
    /// What pam_start or pam_authenticate returned.
    Password(c_int),
    /// What pam_acct_mgmt returned.
    Account(c_int),
}

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    unused: c_int,
}

type Converse = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

type Start = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const Conversation,
    *mut *mut Handle,
) -> c_int;
type Step = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type SetItem = unsafe extern "C" fn(*mut Handle, c_int, *const c_void) -> c_int;

/// What the questions are answered with.
struct Answers {
    user: CString,
    password: CString,
}

/// The library's functions.
struct Library {
    start: Start,
    set_item: SetItem,
    authenticate: Step,
    account: Step,
    end: Step,
}

impl Library {
    fn load() -> Option<Library> {
        // SAFETY: a string that ends in NUL. The library's initializers run, as in every program that is
        // linked with it. It is never closed, so that what is found in it stays there.
        let library = unsafe { libc::dlopen(c"libpam.so.0".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return None;
        }
        let find = |name: &CStr| {
            // SAFETY: the library is open, and the string ends in NUL.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        // SAFETY: these names are functions of these types in every libpam.so.0 (pam_appl.h), and a
        // function's address has the size of a pointer here.
        unsafe {
            Some(Library {
                start: mem::transmute::<*mut c_void, Start>(find(c"pam_start")?),
                set_item: mem::transmute::<*mut c_void, SetItem>(find(c"pam_set_item")?),
                authenticate: mem::transmute::<*mut c_void, Step>(find(c"pam_authenticate")?),
                account: mem::transmute::<*mut c_void, Step>(find(c"pam_acct_mgmt")?),
                end: mem::transmute::<*mut c_void, Step>(find(c"pam_end")?),
            })
        }
    }
}

/// Checks a password, and that the account is open.
pub(super) fn check(service: &str, user: &str, password: &str, rhost: &str) -> Result<(), Failure> {
    let library = Library::load().ok_or(Failure::Library)?;
    // What has a NUL is nobody's (the server has looked already).
    let text = |text: &str| CString::new(text).map_err(|_| Failure::Password(CONV_ERR));
    let (service, rhost) = (text(service)?, text(rhost)?);
    let answers = Answers {
        user: text(user)?,
        password: text(password)?,
    };
    let conversation = Conversation {
        converse: answer,
        data: ptr::from_ref(&answers).cast_mut().cast(),
    };
    let mut handle = ptr::null_mut();
    // SAFETY: all pointers are to values that live until the end of this function, after pam_end; PAM
    // copies the strings and the conversation, and hands `data` to `answer` alone, which only reads it.
    let started = unsafe {
        (library.start)(
            service.as_ptr(),
            answers.user.as_ptr(),
            &conversation,
            &mut handle,
        )
    };
    if started != SUCCESS || handle.is_null() {
        return Err(Failure::Password(started));
    }
    // SAFETY: the handle is from pam_start and not ended before the last line. pam_set_item copies a
    // host's name and keeps the function, which is there as long as the program. Steps are called with
    // the flags that they know.
    unsafe {
        if !rhost.as_bytes().is_empty() {
            (library.set_item)(handle, RHOST, rhost.as_ptr().cast());
        }
        // The server delays who guesses, by its own rules.
        let no_delay: extern "C" fn(c_int, c_uint, *mut c_void) = no_delay;
        (library.set_item)(handle, FAIL_DELAY, no_delay as *const c_void);
        let mut status = (library.authenticate)(handle, SILENT | DISALLOW_NULL_AUTHTOK);
        let mut outcome = Err(Failure::Password(status));
        if status == SUCCESS {
            status = (library.account)(handle, SILENT | DISALLOW_NULL_AUTHTOK);
            outcome = match status {
                SUCCESS => Ok(()),
                status => Err(Failure::Account(status)),
            };
        }
        (library.end)(handle, status);
        outcome
    }
}

extern "C" fn no_delay(_status: c_int, _microseconds: c_uint, _data: *mut c_void) {}

/// Answers PAM's questions: the password to what is not shown, the name to what is, nothing to notes.
extern "C" fn answer(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let (1..=MESSAGES_MAX, false, false, false) = (
        count,
        messages.is_null(),
        responses.is_null(),
        data.is_null(),
    ) else {
        return CONV_ERR;
    };
    let count = count as usize;
    // SAFETY: `data` is what `check` gave to pam_start, which is still there. `messages` is an array of
    // `count` pointers to messages (pam_conv(3)). The answers are allocated with malloc's family, as PAM
    // frees them, and zeroed, so that those that stay empty are null.
    unsafe {
        let answers = &*data.cast::<Answers>();
        let out = libc::calloc(count, mem::size_of::<Response>()).cast::<Response>();
        if out.is_null() {
            return BUF_ERR;
        }
        for index in 0..count {
            let message = *messages.add(index);
            let text = match message.as_ref().map(|message| message.style) {
                Some(PROMPT_ECHO_OFF) => &answers.password,
                Some(PROMPT_ECHO_ON) => &answers.user,
                _ => continue,
            };
            (*out.add(index)).text = libc::strdup(text.as_ptr());
        }
        *responses = out;
    }
    SUCCESS
}
