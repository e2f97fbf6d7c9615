package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustMaster(t testing.TB) MasterKey {
	t.Helper()
	k, err := GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustRing(t testing.TB, keys ...MasterKey) *Keyring {
	t.Helper()
	r, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustDataKey(t testing.TB) *DataKey {
	t.Helper()
	k, err := NewDataKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSecretsDoNotShow(t *testing.T) {
	const word = "hunter2-hunter2-hunter2"
	master := masterKey([]byte(word + "-padded--")[:KeySize])
	data, err := dataKey(master.key)
	if err != nil {
		t.Fatal(err)
	}
	secret := NewSecret(word)
	type config struct {
		Password Secret
		Master   MasterKey
		Data     *DataKey
	}
	all := config{secret, master, data}
	var out bytes.Buffer
	for _, v := range []any{secret, &secret, master, &master, data, all, &all, []Secret{secret}, map[string]Secret{"k": secret}, fmt.Errorf("with %v", secret)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
	}
	text := out.String()
	for _, form := range []string{word, hex.EncodeToString([]byte(word)), strings.ToUpper(hex.EncodeToString([]byte(word))), base64.StdEncoding.EncodeToString([]byte(word))[:24], fmt.Sprint([]byte(word))[1:30]} {
		if strings.Contains(text, form) {
			t.Errorf("output holds the secret as %q", form)
		}
	}
	if !strings.Contains(text, "[redacted]") || !strings.Contains(text, master.ID()) {
		t.Errorf("output holds neither [redacted] nor the key's id: %s", text)
	}
	if secret.Reveal() != word || secret.Empty() || !secret.Equal(word) || secret.Equal("x") {
		t.Error("the secret is not itself")
	}
	var read Secret
	if err := json.Unmarshal([]byte(`"`+word+`"`), &read); err != nil || read.Reveal() != word {
		t.Errorf("reading a secret: %v", err)
	}
}

func TestMasterKeyForms(t *testing.T) {
	k := mustMaster(t)
	raw := k.key[:]
	good := map[string]string{
		"base64":          base64.StdEncoding.EncodeToString(raw),
		"base64 unpadded": base64.RawStdEncoding.EncodeToString(raw),
		"url":             base64.URLEncoding.EncodeToString(raw),
		"url unpadded":    base64.RawURLEncoding.EncodeToString(raw),
		"hex":             hex.EncodeToString(raw),
		"upper hex":       strings.ToUpper(hex.EncodeToString(raw)),
		"with space":      " " + k.Encode().Reveal() + "\r\n",
	}
	for name, s := range good {
		got, err := ParseMasterKey(s)
		if err != nil || got != k {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []string{"", " ", "x", hex.EncodeToString(raw[:31]), hex.EncodeToString(raw) + "00", base64.StdEncoding.EncodeToString(raw[:16]), strings.Repeat("!", 44)} {
		if _, err := ParseMasterKey(s); err == nil {
			t.Errorf("%q is taken as a key", s)
		} else if len(s) > 20 && strings.Contains(err.Error(), s[:20]) {
			t.Errorf("the error tells what was given: %v", err)
		}
	}
	for name, content := range map[string][]byte{"text": []byte(k.Encode().Reveal() + "\n"), "raw": raw} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadMasterKey(path); err != nil || got != k {
			t.Errorf("file with %s: %v", name, err)
		}
	}
	if _, err := ReadMasterKey(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestMasterKeyFromCommand(t *testing.T) {
	k := mustMaster(t)
	if os.Getenv("SEAL_TEST_KEY") != "" {
		fmt.Print(os.Getenv("SEAL_TEST_KEY"))
		os.Exit(0)
	}
	t.Setenv("SEAL_TEST_KEY", k.Encode().Reveal())
	argv := []string{os.Args[0], "-test.run=^TestMasterKeyFromCommand$"}
	got, err := MasterKeyFromCommand(t.Context(), argv)
	if err != nil || got != k {
		t.Errorf("key from a command: %v", err)
	}
	t.Setenv("SEAL_TEST_KEY", "not-a-key-but-secret")
	if _, err := MasterKeyFromCommand(t.Context(), argv); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a command without a key: %v", err)
	}
	for _, argv := range [][]string{nil, {filepath.Join(t.TempDir(), "missing")}} {
		if _, err := MasterKeyFromCommand(t.Context(), argv); err == nil {
			t.Errorf("command %v: no error", argv)
		}
	}
}

func TestDataKeySealsAndRefuses(t *testing.T) {
	k, aad := mustDataKey(t), []byte("message m1")
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("mail "), 20_000)} {
		prefix := []byte("prefix")
		sealed := k.Seal(prefix, plain, aad)
		if !bytes.HasPrefix(sealed, prefix) {
			t.Error("Seal does not append")
		}
		sealed = sealed[len(prefix):]
		if len(sealed) != len(plain)+Overhead || KeyID(sealed) != k.ID() {
			t.Errorf("sealed %d bytes as %d under %s", len(plain), len(sealed), KeyID(sealed))
		}
		got, err := k.Open([]byte("dst"), sealed, aad)
		if err != nil || string(got) != "dst"+string(plain) {
			t.Errorf("open: %d bytes, %v", len(got), err)
		}
		if _, err := k.Open(nil, sealed, []byte("message m2")); !errors.Is(err, ErrDamaged) {
			t.Errorf("with other additional data: %v", err)
		}
		for at := idSize; at < len(sealed); at += 1 + len(sealed)/50 {
			spoilt := bytes.Clone(sealed)
			spoilt[at] ^= 1
			if _, err := k.Open(nil, spoilt, aad); !errors.Is(err, ErrDamaged) {
				t.Errorf("with byte %d changed: %v", at, err)
			}
		}
		for _, n := range []int{0, 5, idSize, Overhead - 1, len(sealed) - 1} {
			if _, err := k.Open(nil, sealed[:n], aad); err == nil {
				t.Errorf("cut to %d bytes: no error", n)
			}
		}
		var wrong *WrongKeyError
		if _, err := mustDataKey(t).Open(nil, sealed, aad); !errors.As(err, &wrong) || wrong.Want != k.ID() {
			t.Errorf("under another key: %v", err)
		}
	}
	if bytes.Equal(k.Seal(nil, []byte("x"), nil), k.Seal(nil, []byte("x"), nil)) {
		t.Error("the same plaintext gives the same bytes")
	}
}

func TestDerivedKeysAndNames(t *testing.T) {
	k := mustDataKey(t)
	derive := func(label string) *DataKey {
		d, err := k.Derive(label)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, again := derive("a").ID(), derive("a").ID()
	if a != again || a == derive("b").ID() || a == k.ID() {
		t.Error("derived keys are not one for each purpose")
	}
	name, same := k.MAC("a", "bc"), k.MAC("a", "bc")
	if name != same || name == k.MAC("ab", "c") || k.MAC("a") == mustDataKey(t).MAC("a") || k.MAC() == k.MAC("") {
		t.Error("names are not one for each list of parts and key")
	}
}

func TestKeyringRotates(t *testing.T) {
	old, fresh, data, aad := mustMaster(t), mustMaster(t), mustDataKey(t), []byte("account a1")
	wrapped := mustRing(t, old).Wrap(data, aad)
	same := func(k *DataKey, err error) {
		t.Helper()
		if err != nil || k.ID() != data.ID() {
			t.Errorf("unwrapped %v, %v", k, err)
		}
	}
	same(mustRing(t, old).Unwrap(wrapped, aad))
	both := mustRing(t, fresh, old)
	k, err := both.Unwrap(wrapped, aad)
	same(k, err)
	if both.Current(wrapped) {
		t.Error("what the old key wrapped counts as current")
	}
	again := both.Wrap(k, aad)
	if !both.Current(again) {
		t.Error("what the first key wrapped does not count as current")
	}
	same(mustRing(t, fresh).Unwrap(again, aad))

	_, err = mustRing(t, fresh).Unwrap(wrapped, aad)
	var wrong *WrongKeyError
	if !errors.As(err, &wrong) || !errors.Is(err, ErrWrongKey) || wrong.Want != old.ID() || len(wrong.Have) != 1 || wrong.Have[0] != fresh.ID() {
		t.Fatalf("under a key that is gone: %v", err)
	}
	for _, id := range []string{old.ID(), fresh.ID()} {
		if !strings.Contains(err.Error(), id) {
			t.Errorf("%q does not name key %s", err, id)
		}
	}
	if _, err := both.Unwrap(again, []byte("account a2")); !errors.Is(err, ErrDamaged) {
		t.Errorf("as another account's: %v", err)
	}
	for _, b := range [][]byte{nil, {1, 2}, again[:20]} {
		if _, err := both.Unwrap(b, aad); err == nil {
			t.Errorf("unwrapped %d bytes", len(b))
		}
	}
	if _, err := NewKeyring(); err == nil {
		t.Error("a keyring without a key")
	}
	if _, err := NewKeyring(MasterKey{}); err == nil {
		t.Error("a keyring with an empty key")
	}
}

func BenchmarkSeal(b *testing.B) {
	k := mustDataKey(b)
	for _, n := range []int{100, 1000, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			plain, aad := make([]byte, n), []byte("additional")
			var buf []byte
			b.SetBytes(int64(n))
			for b.Loop() {
				buf = k.Seal(buf[:0], plain, aad)
			}
		})
	}
}
