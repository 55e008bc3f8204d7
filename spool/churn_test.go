//go:build unix

package spool_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// churn is the process that is killed: it appends, acks, loses and syncs at
// random, and says so on stdout before and after.
func churn(args string) {
	var mode spool.Fsync
	var name, dir string
	var maxBytes int64
	var seq, seed uint64
	if _, err := fmt.Sscan(args, &name, &maxBytes, &seq, &seed, &dir); err != nil {
		panic(err)
	}
	if err := mode.UnmarshalText([]byte(name)); err != nil {
		panic(err)
	}
	c := &churner{rng: rand.New(rand.NewPCG(seed, seed)), seq: seq}
	c.say("open", 0)
	c.s = spool.Open(spool.Config{Dir: dir, MaxBytes: maxBytes, Fsync: mode})
	go func() { _ = c.s.Run(background) }()
	for {
		if err := c.step(); err != nil {
			panic(err)
		}
	}
}

type churner struct {
	s    *spool.Spool
	rng  *rand.Rand
	seq  uint64
	mine []uint64 // appended by this process, not acked
}

func (c *churner) step() error {
	switch n := c.rng.IntN(32); {
	case n < 16:
		c.say("append", c.seq)
		if err := c.s.Append(killRecord(c.seq)); err != nil {
			return err
		}
		c.say("appended", c.seq)
		c.mine = append(c.mine, c.seq)
		c.seq++
	case n < 21 && len(c.mine) > 0:
		i := c.rng.IntN(len(c.mine))
		c.ack(c.mine[i])
		c.mine[i] = c.mine[len(c.mine)-1]
		c.mine = c.mine[:len(c.mine)-1]
	case n < 24 && len(c.mine) > 0:
		c.note(c.mine[c.rng.IntN(len(c.mine))])
	case n < 29:
		r, err := c.s.Oldest(0, nil)
		if errors.Is(err, spool.ErrEmpty) {
			return nil
		}
		if err := errors.Join(err, checkKillRecord(r)); err != nil {
			return err
		}
		c.ack(r.Seq)
	case n < 31:
		points := 1 + c.rng.Int64N(1000)
		if n == 30 {
			c.say("refuse", uint64(points))
			c.s.Refuse(points)
			c.say("refused", uint64(points))
			return nil
		}
		c.say("lose", uint64(points))
		c.s.Lose("queue_full", points)
		c.say("lost", uint64(points))
	default:
		c.say("sync", 0)
		if err := c.s.Sync(background); err != nil {
			return err
		}
		c.say("synced", 0)
	}
	return nil
}

// ack settles a record, and sets its dead points aside.
func (c *churner) ack(seq uint64) {
	c.say("ack", seq)
	dead := deadOf(seq)
	id := record(seq, 0).ID
	if !c.s.Ack(id, dead) {
		c.say("gone", seq)
		return
	}
	c.say("acked", seq)
	if dead > 0 {
		// So small that what comes between two Syncs never needs the room of the last letter.
		letter := spool.Record{ID: spool.ID{Epoch: 9, Seq: seq}, Items: dead, Payload: make([]byte, seq%400)}
		c.s.SetAside(spool.Letter{Of: id, Reason: "killed", Record: letter})
		c.say("letter", seq)
	}
}

// note replaces the note of a record.
func (c *churner) note(seq uint64) {
	n := seq<<8 | c.rng.Uint64N(1<<8)
	c.say("note", n)
	if c.s.Note(record(seq, 0).ID, []byte(noteOf(n))) {
		c.say("noted", n)
	} else {
		c.say("gone", 0)
	}
}

// say writes a line at once: what is in the pipe outlives the process.
func (*churner) say(what string, n uint64) {
	_, _ = io.WriteString(os.Stdout, fmt.Sprintf("%s %d\n", what, n))
}
