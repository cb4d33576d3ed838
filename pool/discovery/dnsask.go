package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/sockets"
)

const (
	resolvConf   = "/etc/resolv.conf"
	queryTimeout = 2 * time.Second
	queryRounds  = 2    // through all servers, so that one lost packet is no failure
	queriesAside = 8    // at the same time
	udpSize      = 1232 // what passes everywhere in one piece
	strayPackets = 16   // answers to something else that are passed over
)

// question is one that a name server is asked, about an absolute name in lower case.
type question struct {
	name string
	kind uint16
}

type reply struct {
	msg *dns.Msg // of rcode NOERROR or NXDOMAIN
	err error
}

// resolver asks name servers. It belongs to one Run; only ask may be called by many.
type resolver struct {
	servers []string // given in the configuration; none: those of the file

	path string // of resolv.conf
	read os.FileInfo
	conf *dns.ClientConfig // nil before the first question
}

func newResolver(servers []string, path string) *resolver {
	return &resolver{servers: servers, path: path}
}

// names returns the absolute names that name stands for, in the order in which they are asked for. It reads
// resolv.conf again if that has changed. With servers of its own there is no search list.
func (r *resolver) names(name string) ([]string, error) {
	if len(r.servers) > 0 {
		r.conf = &dns.ClientConfig{Servers: r.servers}
		return []string{dns.Fqdn(name)}, nil
	}
	if err := r.reload(); err != nil {
		return nil, err
	}
	var names []string
	for _, full := range r.conf.NameList(name) {
		if _, ok := dns.IsDomainName(full); ok {
			names = append(names, dns.CanonicalName(full))
		}
	}
	return names, nil
}

func (r *resolver) reload() error {
	info, err := os.Stat(r.path)
	if err != nil {
		return fmt.Errorf("cannot read which name servers to ask: %w", err)
	}
	if r.conf != nil && os.SameFile(info, r.read) && info.ModTime().Equal(r.read.ModTime()) &&
		info.Size() == r.read.Size() {
		return nil
	}
	conf, err := dns.ClientConfigFromFile(r.path)
	if err != nil {
		return fmt.Errorf("cannot read which name servers to ask: %w", err)
	}
	servers := make([]string, 0, len(conf.Servers))
	for _, server := range conf.Servers {
		if address, ok := serverAddress(server); ok {
			servers = append(servers, address)
		}
	}
	if len(servers) == 0 {
		return fmt.Errorf("%s names no name server", r.path)
	}
	conf.Servers = servers[:min(len(servers), 3)] // no more are asked by any resolver
	r.conf, r.read = conf, info
	return nil
}

// askAll asks some of the questions at a time. The replies are in the order of the questions.
func (r *resolver) askAll(ctx context.Context, questions []question) []reply {
	replies := make([]reply, len(questions))
	turns := make(chan struct{}, queriesAside)
	var wg sync.WaitGroup
	for i, q := range questions {
		turns <- struct{}{}
		wg.Go(func() {
			replies[i].msg, replies[i].err = r.ask(ctx, q)
			<-turns
		})
	}
	wg.Wait()
	return replies
}

// ask asks one server after the other until one answers.
func (r *resolver) ask(ctx context.Context, q question) (*dns.Msg, error) {
	var last error
	for range queryRounds {
		for _, server := range r.conf.Servers {
			m, err := exchange(ctx, server, q)
			if err == nil {
				return m, nil
			}
			last = fmt.Errorf("name server %s does not answer for %s %s: %w",
				server, dns.TypeToString[q.kind], q.name, err)
			if ctx.Err() != nil {
				return nil, last
			}
		}
	}
	return nil, last
}

// exchange asks one server: by UDP, by TCP if the answer does not fit, and without the extension of RFC 6891
// if the server does not know it.
func exchange(ctx context.Context, server string, q question) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.kind)
	m.SetEdns0(udpSize, false)
	reply, err := send(ctx, "udp", server, m)
	if err == nil && reply.Truncated {
		reply, err = send(ctx, "tcp", server, m)
	}
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) {
		m.Extra = nil
		reply, err = send(ctx, "udp", server, m)
		if err == nil && reply.Truncated {
			reply, err = send(ctx, "tcp", server, m)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case reply.Truncated:
		return nil, errors.New("the answer is cut off, even by TCP")
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("it says %s", dns.RcodeToString[reply.Rcode])
	}
	return reply, nil
}

// send sends one query and returns the answer to it. Packets that answer something else may be forged, or
// late: they are passed over.
func send(ctx context.Context, kind, server string, m *dns.Msg) (*dns.Msg, error) {
	// Those that were sent together, and lost, are not sent again together.
	ctx, cancel := context.WithTimeout(ctx, queryTimeout+chance.Duration(queryTimeout/16))
	defer cancel()
	nc, err := sockets.Dial(ctx, &net.Dialer{}, kind, server)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = nc.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection, which is as good
	})
	defer stop()
	conn := &dns.Conn{Conn: nc, UDPSize: 4096} // more than asked for is read too
	m.Id = dns.Id()
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	for range strayPackets {
		reply, err := conn.ReadMsg()
		if err == nil && isReply(reply, m) {
			return reply, nil
		}
		var netErr net.Error
		if err != nil && (kind != "udp" || errors.As(err, &netErr)) {
			return nil, err
		}
	}
	return nil, errors.New("what it sends is no answer to the question")
}

func isReply(reply, m *dns.Msg) bool {
	if reply.Id != m.Id || !reply.Response || reply.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(reply.Question) == 0 { // some servers leave it out of an error
		return reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError
	}
	got, want := reply.Question[0], m.Question[0]
	return len(reply.Question) == 1 && got.Qtype == want.Qtype && got.Qclass == want.Qclass &&
		dns.CanonicalName(got.Name) == dns.CanonicalName(want.Name)
}
