import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r4.model.ValueSet;

/** Validates every .json file below the folders named: counts by type, every error, exit code 1 if there is one. */
public class ValidateFhir {
  public static void main(String[] folders) throws Exception {
    FhirContext context = FhirContext.forR4();
    PrePopulatedValidationSupport own = new PrePopulatedValidationSupport(context);
    UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
    unknown.setNonExistentCodeSystemSeverity(ca.uhn.fhir.context.support.IValidationSupport.IssueSeverity.WARNING);
    FhirInstanceValidator module = new FhirInstanceValidator(new ValidationSupportChain(
        new DefaultProfileValidationSupport(context), own, new InMemoryTerminologyServerValidationSupport(context),
        new CommonCodeSystemsTerminologyService(context), new SnapshotGeneratingValidationSupport(context), unknown));
    FhirValidator validator = context.newValidator().registerValidatorModule(module);
    Map<String, Integer> counts = new TreeMap<>();
    int errors = 0;
    for (String folder : folders) {
      List<Path> files;
      try (Stream<Path> found = Files.walk(Path.of(folder))) {
        files = found.filter(path -> path.toString().endsWith(".json")).sorted().toList();
      }
      for (Path file : files) {
        var resource = context.newJsonParser().parseResource(Files.readString(file));
        if (resource instanceof CodeSystem system) own.addCodeSystem(system);
        if (resource instanceof ValueSet set) own.addValueSet(set);
        if (resource instanceof StructureDefinition profile) own.addStructureDefinition(profile);
      }
      for (Path file : files) {
        String text = Files.readString(file);
        counts.merge(context.newJsonParser().parseResource(text).fhirType(), 1, Integer::sum);
        for (var message : validator.validateWithResult(text).getMessages()) {
          if (message.getSeverity().ordinal() >= ResultSeverityEnum.ERROR.ordinal()) {
            errors++;
            System.out.println(file + ": " + message.getLocationString() + ": " + message.getMessage());
          }
        }
      }
    }
    System.out.println("HAPI instance validator: " + counts + ", " + errors + " errors");
    System.exit(errors == 0 ? 0 : 1);
  }
}
