package blobfile

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/postern-mail/postern/store"
)

func codecs(t *testing.T) *Blobs {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(chunkSize))
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(4*chunkSize))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dec.Close)
	return &Blobs{enc: enc, dec: dec}
}

// TestSqueezing takes bytes of all kinds there and back, behind what is in the
// buffer already, in each of the ways that a store may hold them.
func TestSqueezing(t *testing.T) {
	b := codecs(t)
	random := make([]byte, chunkSize)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(random)
	text := []byte(strings.Repeat("Received: from mx.example.net by mail.example.org;\r\n", 2000))[:chunkSize]
	for what, plain := range map[string][]byte{
		"nothing": {}, "a byte": {'x'}, "a word": []byte("word"), "text": text, "a full chunk less one": text[:chunkSize-1],
		"noise": random, "zeros": make([]byte, chunkSize), "half noise": append(bytes.Clone(text[:999]), random[:999]...),
	} {
		for how, packed := range map[string][]byte{"small": squeezeSmall(plain), "chunk": b.squeezeChunk(nil, plain)} {
			if len(packed) > len(plain)+1 {
				t.Errorf("%s as %s: %d bytes of %d", what, how, len(packed), len(plain))
			}
			got, err := b.unsqueeze([]byte("before"), packed)
			if err != nil || string(got) != "before"+string(plain) {
				t.Errorf("%s as %s: %d bytes of %d came back, %v", what, how, len(got)-len("before"), len(plain), err)
			}
			// Into room that fits, as the readers give it, nothing is allocated anew.
			room := make([]byte, 0, len(plain)+spare)
			if got, err = b.unsqueeze(room, packed); err != nil || !bytes.Equal(got, plain) || cap(got) != cap(room) {
				t.Errorf("%s as %s: not into the room it was given: capacity %d, was %d (%v)", what, how, cap(got), cap(room), err)
			}
		}
	}
	if kind := squeezeSmall(text)[0]; kind != withS2 {
		t.Errorf("text that is small is compressed as %d", kind)
	}
	if kind := b.squeezeChunk(nil, text)[0]; kind != withZstd {
		t.Errorf("a chunk of text is compressed as %d", kind)
	}
}

// TestSqueezedWrong opens what never was squeezed: it is damage, whatever it claims
// to be, and takes no more memory than a chunk.
func TestSqueezedWrong(t *testing.T) {
	b := codecs(t)
	long := s2.Encode(nil, make([]byte, chunkSize+1))
	for what, data := range map[string][]byte{
		"nothing": {}, "an unknown way": {3, 1, 2}, "no zstd": {withZstd, 1, 2, 3}, "no S2": {withS2, 255, 255, 255},
		"S2 that ends early":        append([]byte{withS2}, s2.Encode(nil, bytes.Repeat([]byte("ab"), 99))[:5]...),
		"S2 of more than a chunk":   append([]byte{withS2}, long...),
		"S2 that claims four GiB":   {withS2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"zstd of more than it may":  append([]byte{withZstd}, b.enc.EncodeAll(make([]byte, 5*chunkSize), nil)...),
		"S2 of zstd's first letter": append([]byte{withS2}, b.enc.EncodeAll([]byte("text text text text"), nil)...),
	} {
		if got, err := b.unsqueeze(nil, data); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
}
