package wire

// A Command is one command of a client.
type Command struct {
	Tag  string
	Name string // in upper case; "UID FETCH" is FETCH with UID set
	UID  bool
	Args *Args // what follows the name, from the space on
	Data *Data // the message of an APPEND, which has not been read yet

	// What the client enabled (RFC 5161); the server fills it in.
	UTF8 bool // mailbox names travel as UTF-8 (RFC 6855, or IMAP4rev2)
	Rev2 bool // IMAP4rev2: SEARCH answers ESEARCH, no RECENT
}
