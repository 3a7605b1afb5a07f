#include "worker/daemon/rendezvous_cache.h"

namespace ijepa::worker {
namespace {

v1::RankReply ValueReply(const RankKey& to, int64_t sequence, const v1::RendezvousPut& put) {
  v1::RankReply reply;
  reply.set_job_uid(to.job_uid);
  reply.set_generation(to.generation);
  reply.set_rank(to.rank);
  reply.mutable_message()->set_sequence(sequence);
  reply.mutable_message()->mutable_value()->set_key(put.key());
  reply.mutable_message()->mutable_value()->set_value(put.value());
  return reply;
}

}  // namespace

std::vector<v1::RankReply> RendezvousCache::Put(const RankKey& from, const v1::FromRank& message) {
  std::vector<v1::RankReply> replies;
  Gang& gang = gangs_[{from.job_uid, from.generation}];
  const std::string& key = message.put().key();
  const size_t bytes = key.size() + message.put().value().size();
  if (gang.values.contains(key) || gang.bytes + bytes > kMaxBytesPerGang) return replies;
  gang.bytes += bytes;
  gang.values[key] = {from.rank, message};
  for (auto it = gang.waiting.begin(); it != gang.waiting.end();) {
    if (it->second != key) {
      ++it;
      continue;
    }
    const RankKey to = {from.job_uid, from.generation, it->first.rank};
    replies.push_back(ValueReply(to, it->first.sequence, message.put()));
    it = gang.waiting.erase(it);
  }
  return replies;
}

std::optional<v1::RankReply> RendezvousCache::Get(const RankKey& from,
                                                  const v1::FromRank& message) {
  Gang& gang = gangs_[{from.job_uid, from.generation}];
  const auto it = gang.values.find(message.get().key());
  if (it != gang.values.end()) {
    return ValueReply(from, message.sequence(), it->second.message.put());
  }
  if (gang.waiting.size() < kMaxWaitingPerGang) {
    gang.waiting[{from.rank, message.sequence()}] = message.get().key();
  }
  return std::nullopt;
}

std::vector<v1::RankMessage> RendezvousCache::Puts() const {
  std::vector<v1::RankMessage> messages;
  for (const auto& [scope, gang] : gangs_) {
    for (const auto& [key, put] : gang.values) {
      v1::RankMessage& message = messages.emplace_back();
      message.set_job_uid(scope.first);
      message.set_generation(scope.second);
      message.set_rank(put.rank);
      *message.mutable_message() = put.message;
    }
  }
  return messages;
}

}  // namespace ijepa::worker
