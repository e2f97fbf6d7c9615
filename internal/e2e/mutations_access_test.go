package e2e

import "testing"

// createAppPassword lets a mail program in, which sees what the sandbox holds.
func (c *changes) createAppPassword(t *testing.T) {
	x := openDoors(t, c.demo)
	c.arrive("for a program")
	c.programID, c.program = x.create(c.ada, map[string]any{"name": "mutt"})
	program, err := dialMail(x.imap, ada, c.program)
	if err != nil {
		t.Fatal(err)
	}
	defer program.close()
	if err := program.must("SELECT INBOX"); err != nil {
		t.Error(err)
	}
	if err := program.must(`SEARCH SUBJECT "for a program"`); err != nil || len(program.hits) != 1 {
		t.Errorf("the program sees %v %v", program.hits, err)
	}
}

func (c *changes) revokeAppPassword(t *testing.T) {
	x := openDoors(t, c.demo)
	c.query(`mutation($id: ID!) { revokeAppPassword(id: $id) }`, map[string]any{"id": c.programID}, nil)
	if program, err := dialMail(x.imap, ada, c.program); err == nil {
		program.close()
		t.Error("the program is let in")
	}
}
