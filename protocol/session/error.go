package session

// Error says that a caller may not use a handle. Its text quotes nothing from the
// request.
type Error struct {
	// Kind is the kind of the handle, and Reason is why it is refused.
	Kind   Kind
	Reason Reason
}

// Error implements error.
func (e *Error) Error() string { return e.Kind.String() + ": " + string(e.Reason) }

// Reason is why a handle is refused.
type Reason string

const (
	// Ambiguous handles are given twice, or in a form that servers read differently.
	Ambiguous Reason = "not exactly one"
	// Untagged handles have no tag. They are from before sessions were bound, or from
	// another place than an answer of this resource.
	Untagged Reason = "no tag"
	// Foreign handles have a tag that is not of this caller: they are another user's,
	// of a user who is signed in now but isn't in this request, or forged.
	Foreign Reason = "not of this caller"
	// TakenOver sessions began without a user, and belong to another one since.
	TakenOver Reason = "taken over by another user"
	// Expired sessions began without a user, and no user signed in.
	Expired Reason = "began without a user, too long ago"
	// Busy means that sessions are taken over too often.
	Busy Reason = "too many sessions that began without a user"
)

// UnavailableError says that it can't be found out whose a handle is: the key or the
// store can't be had.
type UnavailableError struct {
	// Err is why.
	Err error
}

// Error implements error.
func (e *UnavailableError) Error() string { return "sessions can't be checked: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
