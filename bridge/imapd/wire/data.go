package wire

import (
	"io"
)

// Data is the message that an APPEND brings: it is read as it arrives and kept
// nowhere here. Exactly one of Refuse and Rest ends it, and then the command.
type Data struct {
	Size     int64
	Sync     bool // the client waits for our word
	Literal8 bool // it may hold NUL (RFC 3516, section 4.4)

	r        *Reader
	left     int64
	accepted bool
}

// append hands over APPEND's message; what stands before it are the command's
// arguments.
func (r *Reader) append(h *header, lit announced) (*Command, error) {
	if lit.size < 0 {
		if lit.sync {
			return nil, &BadCommand{Tag: h.tag, TooBig: true, Why: "no message is that large"}
		}
		return nil, ErrFlood
	}
	args := r.buf[h.args : len(r.buf)-lit.text]
	d := &Data{Size: lit.size, Sync: lit.sync, r: r, left: lit.size}
	if n := len(args); args[n-1] == '~' {
		d.Literal8, args = true, args[:n-1]
	}
	r.data = d
	return &Command{Tag: h.tag, Name: h.name, UID: h.uid, Args: NewArgs(args), Data: d}, nil
}

// Accept lets the client send the message.
func (d *Data) Accept() error {
	d.accepted = true
	if !d.Sync {
		return nil
	}
	return d.r.cont(d.Size)
}

// Read reads of the message. io.EOF is its end; a connection that ends before
// that is io.ErrUnexpectedEOF.
func (d *Data) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > d.left {
		p = p[:d.left]
	}
	n, err := d.r.br.Read(p)
	d.left -= int64(n)
	return n, unexpected(err)
}

// Refuse ends the command without its message. What the client sends without
// having waited for our word is read and forgotten.
func (d *Data) Refuse() error {
	if d.Sync && !d.accepted {
		d.r.data = nil
		return nil
	}
	_, _, err := d.Rest()
	return err
}

// Rest reads what is left of the message and forgets it, then reads the end of
// the command and gives it. ok is false where that is too long or announces a
// further literal, as MULTIAPPEND does; it was read to its end then.
func (d *Data) Rest() (rest string, ok bool, err error) {
	r := d.r
	if err := r.skip(d.left); err != nil {
		return "", false, err
	}
	d.left, r.data = 0, nil
	ok = true
	for {
		r.buf = r.buf[:0]
		tail, n, err := r.readLine(64, true)
		if err != nil {
			return "", false, unexpected(err)
		}
		lit, is := literalTail(tail)
		if !is {
			return string(r.buf[:min(len(r.buf), 64)]), ok && n <= 64, nil
		}
		if ok = false; lit.sync {
			return "", false, nil
		}
		if err := r.skip(lit.size); err != nil {
			return "", false, err
		}
	}
}
