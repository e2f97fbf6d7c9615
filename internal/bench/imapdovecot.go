package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/internal/freeport"
)

// dovecot is a Dovecot of the system's, with a configuration and folders of its
// own, that holds one Maildir.
type dovecot struct {
	server imapServer
	dir    string
	own    bool // dir is not among the bench's
	in     io.Closer
	cmd    *exec.Cmd
}

// errNoDovecot says that there is none to compare with.
var errNoDovecot = errors.New("no Dovecot 2.3 is installed (Debian: apt-get install dovecot-imapd)")

// startDovecot starts one with n messages, or gives errNoDovecot.
func (b *bench) startDovecot(ctx context.Context, n int) (d *dovecot, err error) {
	program, err := exec.LookPath("dovecot")
	if err != nil {
		return nil, errNoDovecot
	}
	version, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil || !strings.HasPrefix(string(version), "2.3") {
		return nil, errNoDovecot
	}
	d = &dovecot{}
	if d.dir, err = b.folder(); err != nil {
		return nil, err
	}
	owner, err := user.Current()
	if err != nil {
		return nil, err
	}
	internal := fmt.Sprintf("default_internal_user = %s\ndefault_login_user = %s\n", owner.Username, owner.Username)
	if group, err := user.LookupGroupId(owner.Gid); err == nil {
		internal += fmt.Sprintf("default_internal_group = %s\n", group.Name)
	}
	if owner.Uid == "0" {
		// It lets no mail belong to root: the package's users do then, and they
		// have to get there.
		internal = ""
		if owner, err = user.Lookup("dovecot"); err != nil {
			return nil, errNoDovecot
		}
		if err := os.Chmod(b.scratch, 0o711); err != nil {
			return nil, err
		}
		if !reachable(b.scratch) {
			if d.dir, err = os.MkdirTemp("", "bench-dovecot-"); err != nil {
				return nil, err
			}
			d.own = true
		}
		if err := os.Chmod(d.dir, 0o711); err != nil {
			return nil, err
		}
	}
	if err := d.fill(owner, n); err != nil {
		return nil, err
	}
	port, err := freeport.Port()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(d.dir, "dovecot.conf")
	text := fmt.Sprintf(`%[1]sbase_dir = %[2]s/run
state_dir = %[2]s/state
log_path = %[2]s/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
first_valid_uid = 1
mail_location = maildir:%[2]s/mail
mail_max_userip_connections = 1000
passdb {
  driver = static
  args = password=bench
}
userdb {
  driver = static
  args = uid=%[3]s gid=%[4]s home=%[2]s/home
}
service anvil {
  chroot =
}
service imap-login {
  chroot =
  service_count = 0
  inet_listener imap {
    address = 127.0.0.1
    port = %[5]d
  }
  inet_listener imaps {
    port = 0
  }
}
`, internal, d.dir, owner.Uid, owner.Gid, port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	// It ends with our end of the pipe, however we end.
	d.cmd = exec.Command("sh", "-c", `"$0" -F -c "$1" & cat >/dev/null; kill $! 2>/dev/null; wait $!`, program, conf)
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Dovecot: %w", err)
	}
	d.server = imapServer{net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "bench", "bench"}
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.ready(starting); err != nil {
		log, _ := os.ReadFile(filepath.Join(d.dir, "dovecot.log"))
		return nil, errors.Join(fmt.Errorf("wait for Dovecot: %w: %s", err, log[max(0, len(log)-1000):]), d.stop())
	}
	return d, nil
}

// ready logs in until that works.
func (d *dovecot) ready(ctx context.Context) error {
	for {
		c, err := d.server.login(ctx)
		if err == nil {
			return c.close()
		}
		if waited := pass(ctx, pollEvery); waited != nil {
			return err
		}
	}
}

func (d *dovecot) stop() error {
	err := d.in.Close()
	_ = d.cmd.Wait() // it was killed
	if d.own {
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}

// reachable reports whether everybody gets to a folder.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if filepath.Dir(dir) == dir {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// fill writes the Maildir, with names that give the order of delivery and the
// sizes, as a delivery agent does.
func (d *dovecot) fill(owner *user.User, n int) error {
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(owner.Gid)
	if err != nil {
		return err
	}
	cur := filepath.Join(d.dir, "mail", "cur")
	for _, name := range []string{"home", "run", "state", "mail", "mail/cur", "mail/new", "mail/tmp"} {
		dir := filepath.Join(d.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := chown(dir, uid, gid, name == "run" || name == "state"); err != nil {
			return err
		}
	}
	for i := range n {
		raw, seen := imapLetter(i)
		flags := ""
		if seen {
			flags = "S"
		}
		name := filepath.Join(cur, fmt.Sprintf("%d.M%06dP1.bench,S=%d,W=%d:2,%s", imapDate(i).Unix(), i%1_000_000, len(raw), len(raw), flags))
		if err := os.WriteFile(name, raw, 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(name, imapDate(i), imapDate(i)); err != nil {
			return err
		}
		if err := chown(name, uid, gid, false); err != nil {
			return err
		}
	}
	return nil
}

// chown gives a file to Dovecot's user where that is not ours already.
func chown(name string, uid, gid int, ours bool) error {
	if ours || os.Getuid() != 0 {
		return nil
	}
	return os.Chown(name, uid, gid)
}
