// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// usage: pace TARGET RATE SECONDS TIMEOUT_S SERVICE_CONFIG
// Unary calls on a timetable; lines as those of `bench-recovery load`.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "helloworld.grpc.pb.h"
using namespace grpc;
using Clk = std::chrono::steady_clock;

struct Call {
  ClientContext context;
  helloworld::HelloReply reply;
  Status status;
  std::unique_ptr<ClientAsyncResponseReader<helloworld::HelloReply>> reader;
  Clk::time_point due;
  size_t index;
};
struct Record {
  long due = 0, latency = 0;
  int code = 0;
  std::string text;
};
static long us(Clk::duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

int main(int argc, char** argv) {
  if (argc != 6) return 1;
  const long rate = atol(argv[2]), seconds = atol(argv[3]), timeout = atol(argv[4]);
  ChannelArguments arguments;
  arguments.SetServiceConfigJSON(argv[5]);
  auto channel = CreateCustomChannel(argv[1], InsecureChannelCredentials(), arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)))
    return 1;
  std::this_thread::sleep_for(std::chrono::seconds(1));
  helloworld::Greeter::Stub stub(channel);
  std::cout << "ready" << std::endl;
  std::string line;
  if (!std::getline(std::cin, line)) return 1;

  std::vector<Record> records(rate * seconds);
  CompletionQueue queue;
  const auto start = Clk::now() + std::chrono::milliseconds(1);
  std::thread ends([&] {
    void* tag;
    bool ok;
    for (size_t ended = 0; ended < records.size() && queue.Next(&tag, &ok); ended++) {
      std::unique_ptr<Call> call(static_cast<Call*>(tag));
      auto& record = records[call->index];
      record = {us(call->due - start), us(Clk::now() - call->due), call->status.error_code(), ""};
      if (!call->status.ok()) record.text = call->status.error_message();
      else if (call->reply.message() != "Hello, world") exit(1);
    }
  });
  helloworld::HelloRequest request;
  request.set_name("world");
  for (size_t index = 0; index < records.size(); index++) {
    auto* call = new Call;
    call->index = index;
    call->due = start + std::chrono::nanoseconds(index * 1000000000 / rate);
    std::this_thread::sleep_until(call->due);
    if (timeout > 0)
      call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(timeout));
    call->reader = stub.AsyncSayHello(&call->context, request, &queue);
    call->reader->Finish(&call->reply, &call->status, call);
  }
  ends.join();
  for (auto& record : records) {
    std::replace(record.text.begin(), record.text.end(), '\n', ' ');
    printf("%ld %ld %d %s\n", record.due, record.latency, record.code, record.text.c_str());
  }
  printf("end\n");
}
