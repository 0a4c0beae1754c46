import java.io.BufferedWriter;
import java.io.OutputStreamWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Load for a topic, and what a topic holds, with Kafka's own client.
 *
 *   SERVERS write TOPIC RATE [wild]   numbered records until standard input ends; prints how many there are
 *   SERVERS read TOPIC COUNT          at least so many records and all others that are committed, one a line
 */
public class Records {
    /** A node may be away for minutes. */
    static final int PATIENCE_MS = 600_000;
    /** Longest time without a further record, while some are missing. */
    static final long STILL_MS = 120_000;

    /** Of wild records: no time said, 1970, 2001, 2100, and the last one that there is. */
    static final Long[] TIMES = {null, 0L, 1_000_000_000_000L, null, 4_102_444_800_000L, Long.MAX_VALUE};

    public static void main(String[] args) throws Exception {
        if (args[1].equals("write")) {
            write(args[0], args[2], Integer.parseInt(args[3]), args.length > 4);
        } else {
            read(args[0], args[2], Long.parseLong(args[3]));
        }
    }

    static void write(String servers, String topic, int rate, boolean wild) throws Exception {
        var settings = new HashMap<String, Object>(Map.of("bootstrap.servers", servers, "linger.ms", 5,
            "delivery.timeout.ms", PATIENCE_MS, "max.block.ms", PATIENCE_MS));
        settings.put("reconnect.backoff.max.ms", 200);
        var failed = new AtomicReference<Exception>();
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            int partitions = producer.partitionsFor(topic).size();
            int n = 0;
            long start = System.nanoTime();
            System.out.println("writing");
            var enough = new AtomicBoolean();
            var waiting = new Thread(() -> enough.set(ended(System.in)));
            waiting.setDaemon(true);
            waiting.start();
            while (!enough.get() && failed.get() == null) {
                long due = (System.nanoTime() - start) / 1_000_000 * rate / 1000;
                // Who was held up does not make up for it: the load stays the one asked for.
                if (due > n + rate) {
                    start += (due - n) * 1_000_000_000L / rate;
                }
                for (long last = Math.min(due, n + rate); n < last; n++) {
                    producer.send(record(topic, partitions, n, wild), (done, error) -> failed.compareAndSet(null, error));
                }
                Thread.sleep(2);
            }
            producer.flush();
            if (failed.get() != null) {
                throw failed.get();
            }
            System.out.println(n);
        }
    }

    /** True at a line's or the stream's end: whoever started this may be gone. */
    static boolean ended(java.io.InputStream in) {
        try {
            in.read();
        } catch (java.io.IOException gone) {
            // So it has ended.
        }
        return true;
    }

    /** Keys, empty ones and none, values, empty ones and none, headers that repeat, are no text, have no value or no
     * name, or are large. */
    static ProducerRecord<byte[], byte[]> record(String topic, int partitions, int n, boolean wild) {
        byte[] key = n % 7 == 0 ? null : n % 23 == 5 ? new byte[0] : ("k" + n % 16).getBytes();
        byte[] value = n % 101 == 50 ? null : n % 103 == 60 ? new byte[0] : ("v" + n + " " + "x".repeat(n % 200)).getBytes();
        Integer partition = key == null ? n % partitions : null;
        var record = new ProducerRecord<>(topic, partition, wild ? TIMES[n % TIMES.length] : null, key, value);
        record.headers().add(new RecordHeader("n", Integer.toString(n).getBytes()));
        if (n % 3 == 0) {
            record.headers().add(new RecordHeader("odd", new byte[] {(byte) 0xff, 0, (byte) n}));
            record.headers().add(new RecordHeader("odd", null));
        }
        if (n % 211 == 100) {
            record.headers().add(new RecordHeader("", new byte[0]));
            record.headers().add(new RecordHeader("large", new byte[100_000]));
        }
        return record;
    }

    static void read(String servers, String topic, long count) throws Exception {
        var settings = Map.<String, Object>of("bootstrap.servers", servers, "isolation.level", "read_committed",
            "enable.auto.commit", false, "auto.offset.reset", "none");
        var out = new BufferedWriter(new OutputStreamWriter(System.out));
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(p -> all.add(new TopicPartition(topic, p.partition())));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            long seen = 0;
            long last = System.currentTimeMillis();
            while (System.currentTimeMillis() < last + STILL_MS) {
                var records = consumer.poll(Duration.ofMillis(100));
                for (var record : records) {
                    out.write(line(record));
                    last = System.currentTimeMillis();
                }
                seen += records.count();
                if (seen >= count && records.isEmpty() && atEnd(consumer, all)) {
                    break;
                }
            }
        }
        out.flush();
    }

    static boolean atEnd(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> all) {
        var ends = consumer.endOffsets(all);
        return all.stream().allMatch(partition -> consumer.position(partition) >= ends.get(partition));
    }

    static String line(org.apache.kafka.clients.consumer.ConsumerRecord<byte[], byte[]> record) {
        var line = new StringBuilder();
        line.append(record.partition()).append('\t').append(record.timestamp()).append('\t');
        line.append(text(record.key())).append(' ').append(text(record.value()));
        for (var header : record.headers()) {
            line.append(' ').append(header.key()).append('=').append(text(header.value()));
        }
        return line.append('\n').toString();
    }

    static String text(byte[] bytes) {
        return bytes == null ? "-" : Base64.getEncoder().encodeToString(bytes) + ".";
    }
}
